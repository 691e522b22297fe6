#include "kernels/register_loops.h"

#include <immintrin.h>

#include <string_view>

#include "kernels/simd.h"
#include "kernels/vnni.h"

namespace espalier::kernels {
namespace {

// As many as hide the latency of two pipes, and few enough that they and two operands stay in the
// sixteen registers that AVX2 has.
constexpr int kChains = 12;

// The compiler may neither drop nor merge the chains: each is opaque to it after every pass.
#define ESP_REGISTER_LOOP(name, isa, Vector, zero, step)                                    \
  __attribute__((target(isa))) void name(int64_t passes) {                                  \
    Vector chain[kChains];                                                                  \
    _Pragma("GCC unroll 12") for (int i = 0; i < kChains; ++i) chain[i] = zero;             \
    Vector a = zero, b = zero;                                                              \
    __asm__ volatile("" : "+v"(a), "+v"(b));                                                \
    for (int64_t p = 0; p < passes; ++p) {                                                  \
      _Pragma("GCC unroll 12") for (int i = 0; i < kChains; ++i) chain[i] = step(chain[i]); \
      _Pragma("GCC unroll 12") for (int i = 0; i < kChains;                                 \
                                    ++i) __asm__ volatile("" : "+v"(chain[i]));             \
    }                                                                                       \
  }
#define ESP_FMA_256(c) _mm256_fmadd_ps(a, b, c)
#define ESP_FMA_512(c) _mm512_fmadd_ps(a, b, c)
#define ESP_DOT_BF16(c) _mm512_dpbf16_ps(c, __m512bh(a), __m512bh(b))
#define ESP_DOT_INT8(c) _mm512_dpbusd_epi32(c, a, b)

ESP_REGISTER_LOOP(fma_256, "avx2,fma", __m256, _mm256_setzero_ps(), ESP_FMA_256)
ESP_REGISTER_LOOP(fma_512, "avx512f", __m512, _mm512_setzero_ps(), ESP_FMA_512)
ESP_REGISTER_LOOP(dot_bf16, "avx512f,avx512bf16", __m512, _mm512_setzero_ps(), ESP_DOT_BF16)
ESP_REGISTER_LOOP(dot_int8, "avx512f,avx512vnni", __m512i, _mm512_setzero_si512(), ESP_DOT_INT8)

#undef ESP_DOT_INT8
#undef ESP_DOT_BF16
#undef ESP_FMA_512
#undef ESP_FMA_256
#undef ESP_REGISTER_LOOP

RegisterLoop loop_of(int lanes, void (*run)(int64_t)) { return {double(lanes) * kChains, run}; }

}  // namespace

std::optional<RegisterLoop> register_loop(DType type) {
  __builtin_cpu_init();
  const std::string_view isa = instruction_set();
  const bool wide = isa.starts_with("AVX3");
  if (type == DType::f32) {
    if (wide) return loop_of(16, fma_512);
    if (isa == "AVX2") return loop_of(8, fma_256);
  }
  if (!wide || has_matrix_tiles()) return std::nullopt;
  if (type == DType::bf16 && __builtin_cpu_supports("avx512bf16")) return loop_of(32, dot_bf16);
  if (type == DType::i8 && has_vnni()) return loop_of(64, dot_int8);
  return std::nullopt;
}

}  // namespace espalier::kernels

// Products of pairs of bf16 (AVX512_BF16) for the attention kernel. Included once per instruction
// set; without the instruction nothing calls what is here.
#if defined(ESPALIER_ATTENTION_PAIRS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef ESPALIER_ATTENTION_PAIRS_INL
#undef ESPALIER_ATTENTION_PAIRS_INL
#else
#define ESPALIER_ATTENTION_PAIRS_INL
#endif

#include <cstring>

#include "kernels/attention_moves-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

HWY_INLINE float word(const float* x) { return *x; }
/// Two numbers as the 32 bits they are.
HWY_INLINE float word(const bfloat16* x) {
  float pair;
  std::memcpy(&pair, x, sizeof pair);
  return pair;
}

template <bool kPairs>
HWY_INLINE VF multiply_add(VF a, VF b, VF sum) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  if constexpr (kPairs) {
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
    return sum;
  }
#endif
  return hn::MulAdd(a, b, sum);
}

/// Numbers of two vectors, rounded, as pairs.
HWY_INLINE VF paired(DF d, VF low, VF high) {
  const hn::RebindToUnsigned<DF> du;
  const auto rounded = [&](VF v) HWY_ATTR {
    const auto u = hn::BitCast(du, v);
    return hn::Add(u,
                   hn::Add(hn::And(hn::ShiftRight<16>(u), hn::Set(du, 1u)), hn::Set(du, 0x7FFFu)));
  };
  const auto upper = hn::And(rounded(high), hn::Set(du, 0xFFFF0000u));
  return hn::BitCast(d, hn::Or(hn::ShiftRight<16>(rounded(low)), upper));
}

/// y[r / 2][c] = x[r][c], x[r + 1][c] for `rows` rows of `columns` numbers; 0 behind the last row.
inline void pair_rows(const bfloat16* x, int64_t token, int64_t rows, int64_t columns, float* y) {
  const DF d;
  const hn::RebindToUnsigned<DF> du;
  const hn::Rebind<uint16_t, DF> dh;
  const auto* from = reinterpret_cast<const uint16_t*>(x);
  for (int64_t r = 0; r < rows; r += 2, from += 2 * token, y += columns) {
    const bool both = r + 1 < rows;
    int64_t c = 0;
    for (; c + kLanes <= columns; c += kLanes) {
      auto v = hn::PromoteTo(du, hn::LoadU(dh, from + c));
      if (both)
        v = hn::Or(v, hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(dh, from + token + c))));
      hn::StoreU(hn::BitCast(d, v), d, y + c);
    }
    for (; c < columns; ++c) {
      const uint32_t v = from[c] | (both ? uint32_t{from[token + c]} << 16 : 0);
      std::memcpy(y + c, &v, sizeof v);
    }
  }
}

/// Rows of kVectors vectors become half as many rows of pairs, in place; 0 behind the last row.
template <int kVectors>
HWY_INLINE void pair_up(float* x, int64_t rows) {
  const DF d;
  constexpr int64_t kWidth = kVectors * kLanes;
  for (int64_t r = 0; r < rows; r += 2)
    for (int v = 0; v < kVectors; ++v) {
      const float* from = x + r * kWidth + v * kLanes;
      const VF high = r + 1 < rows ? hn::Load(d, from + kWidth) : hn::Zero(d);
      hn::Store(paired(d, hn::Load(d, from), high), d, x + r / 2 * kWidth + v * kLanes);
    }
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#endif

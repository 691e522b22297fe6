// Columns of 64, 32 and 16 channels as vectors: what the loops of the depthwise convolution do with
// them. Included once, behind <immintrin.h>, by the file that has switched AVX-512 on.
#pragma once

namespace espalier::kernels {
namespace {

/// Bytes of one column of a block, and everything done to them.
struct Lanes64 {
  static constexpr int kBytes = 64;
  using V = __m512i;
  static V all(uint8_t b) { return _mm512_set1_epi8(char(b)); }
  static V load(const void* p) { return _mm512_loadu_si512(p); }
  static void store(void* p, V v) { _mm512_storeu_si512(p, v); }
  static V flipped(V a, V b) { return _mm512_xor_si512(a, b); }
  static V low8(V a, V b) { return _mm512_unpacklo_epi8(a, b); }
  static V high8(V a, V b) { return _mm512_unpackhi_epi8(a, b); }
  static V low16(V a, V b) { return _mm512_unpacklo_epi16(a, b); }
  static V high16(V a, V b) { return _mm512_unpackhi_epi16(a, b); }
  static V rounded(V sum, const float* scale, const float* bias) {
    return _mm512_cvtps_epi32(
        _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_load_ps(scale), _mm512_load_ps(bias)));
  }
  static V to16(V a, V b) { return _mm512_packs_epi32(a, b); }
  static V to_u8(V a, V b) { return _mm512_packus_epi16(a, b); }
  static V to_i8(V a, V b) { return _mm512_packs_epi16(a, b); }
  static V clamp_u8(V v, V low, V high) { return _mm512_min_epu8(_mm512_max_epu8(v, low), high); }
  static V clamp_i8(V v, V low, V high) { return _mm512_min_epi8(_mm512_max_epi8(v, low), high); }
  /// Vector `at` of the sums among those of all 64 channels.
  static void store_sums(int32_t* to, V v, int at) {
    auto* part = reinterpret_cast<__m128i*>(to) + at;
    _mm_storeu_si128(part, _mm512_extracti32x4_epi32(v, 0));
    _mm_storeu_si128(part + 4, _mm512_extracti32x4_epi32(v, 1));
    _mm_storeu_si128(part + 8, _mm512_extracti32x4_epi32(v, 2));
    _mm_storeu_si128(part + 12, _mm512_extracti32x4_epi32(v, 3));
  }
};

struct Lanes32 {
  static constexpr int kBytes = 32;
  using V = __m256i;
  static V all(uint8_t b) { return _mm256_set1_epi8(char(b)); }
  static V load(const void* p) { return _mm256_loadu_si256(static_cast<const V*>(p)); }
  static void store(void* p, V v) { _mm256_storeu_si256(static_cast<V*>(p), v); }
  static V flipped(V a, V b) { return _mm256_xor_si256(a, b); }
  static V low8(V a, V b) { return _mm256_unpacklo_epi8(a, b); }
  static V high8(V a, V b) { return _mm256_unpackhi_epi8(a, b); }
  static V low16(V a, V b) { return _mm256_unpacklo_epi16(a, b); }
  static V high16(V a, V b) { return _mm256_unpackhi_epi16(a, b); }
  static V rounded(V sum, const float* scale, const float* bias) {
    return _mm256_cvtps_epi32(
        _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_load_ps(scale), _mm256_load_ps(bias)));
  }
  static V to16(V a, V b) { return _mm256_packs_epi32(a, b); }
  static V to_u8(V a, V b) { return _mm256_packus_epi16(a, b); }
  static V to_i8(V a, V b) { return _mm256_packs_epi16(a, b); }
  static V clamp_u8(V v, V low, V high) { return _mm256_min_epu8(_mm256_max_epu8(v, low), high); }
  static V clamp_i8(V v, V low, V high) { return _mm256_min_epi8(_mm256_max_epi8(v, low), high); }
  static void store_sums(int32_t* to, V v, int at) {
    auto* part = reinterpret_cast<__m128i*>(to) + at;
    _mm_storeu_si128(part, _mm256_castsi256_si128(v));
    _mm_storeu_si128(part + 4, _mm256_extracti128_si256(v, 1));
  }
};

struct Lanes16 {
  static constexpr int kBytes = 16;
  using V = __m128i;
  static V all(uint8_t b) { return _mm_set1_epi8(char(b)); }
  static V load(const void* p) { return _mm_loadu_si128(static_cast<const V*>(p)); }
  static void store(void* p, V v) { _mm_storeu_si128(static_cast<V*>(p), v); }
  static V flipped(V a, V b) { return _mm_xor_si128(a, b); }
  static V low8(V a, V b) { return _mm_unpacklo_epi8(a, b); }
  static V high8(V a, V b) { return _mm_unpackhi_epi8(a, b); }
  static V low16(V a, V b) { return _mm_unpacklo_epi16(a, b); }
  static V high16(V a, V b) { return _mm_unpackhi_epi16(a, b); }
  static V rounded(V sum, const float* scale, const float* bias) {
    return _mm_cvtps_epi32(
        _mm_fmadd_ps(_mm_cvtepi32_ps(sum), _mm_load_ps(scale), _mm_load_ps(bias)));
  }
  static V to16(V a, V b) { return _mm_packs_epi32(a, b); }
  static V to_u8(V a, V b) { return _mm_packus_epi16(a, b); }
  static V to_i8(V a, V b) { return _mm_packs_epi16(a, b); }
  static V clamp_u8(V v, V low, V high) { return _mm_min_epu8(_mm_max_epu8(v, low), high); }
  static V clamp_i8(V v, V low, V high) { return _mm_min_epi8(_mm_max_epi8(v, low), high); }
  static void store_sums(int32_t* to, V v, int at) { store(to + 4 * at, v); }
};

}  // namespace
}  // namespace espalier::kernels

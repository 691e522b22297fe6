#include "kernels/int8_conv_tile.h"

// The headers of g++ 12 read undefined vectors on purpose and warn about it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma")

namespace espalier::kernels {
namespace {

// Intrinsics into an array of accumulators make g++ 12 spill them; the instruction itself does not.
inline void dot4(__m512i& sum, __m512i u8, __m512i s8) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(u8), "v"(s8));
}

using Kind = Int8Epilogue::Kind;

// Fewer than 16 bytes piece by piece: with masks, a layer of eight channels and a residual in place
// took 2.6 times as long (14.9 us for 5.8, Zen 5).
inline __m128i load_bytes(const uint8_t* p, int count) {
  uint64_t low = 0, high = 0;
  if (count >= 8) __builtin_memcpy(&low, p, 8);
  uint64_t& rest = count >= 8 ? high : low;
  const uint8_t* from = count >= 8 ? p + 8 : p;
  uint32_t four = 0;
  uint16_t two = 0;
  const int left = count & 7;
  int at = 0;
  if (left & 4) {
    __builtin_memcpy(&four, from, 4);
    rest = four;
    at = 4;
  }
  if (left & 2) {
    __builtin_memcpy(&two, from + at, 2);
    rest |= uint64_t(two) << (8 * at);
    at += 2;
  }
  if (left & 1) rest |= uint64_t(from[at]) << (8 * at);
  return _mm_set_epi64x(int64_t(high), int64_t(low));
}

inline void store_bytes(uint8_t* p, __m128i bytes, int count) {
  auto rest = uint64_t(_mm_cvtsi128_si64(bytes));
  if (count >= 8) {
    __builtin_memcpy(p, &rest, 8);
    p += 8;
    rest = uint64_t(_mm_extract_epi64(bytes, 1));
  }
  if (count & 4) {
    __builtin_memcpy(p, &rest, 4);
    p += 4;
    rest >>= 32;
  }
  if (count & 2) {
    __builtin_memcpy(p, &rest, 2);
    p += 2;
    rest >>= 16;
  }
  if (count & 1) *p = uint8_t(rest);
}

/// kCount: 16, 8, or 0 where `count` says it.
template <int kCount>
inline __m512 widened(Kind kind, const uint8_t* p, int count) {
  const auto* at = reinterpret_cast<const __m128i*>(p);
  const __m128i raw = kCount == 16  ? _mm_loadu_si128(at)
                      : kCount == 8 ? _mm_loadl_epi64(at)
                                    : load_bytes(p, count);
  return _mm512_cvtepi32_ps(kind == Kind::kU8 ? _mm512_cvtepu8_epi32(raw)
                                              : _mm512_cvtepi8_epi32(raw));
}

/// Sums of one vector of channels for `pixels` pixels, 64 bytes each, `stride` sums apart.
template <Kind result, Kind residual, int kCount>
void finish(const Int8Tile& t, const int32_t* sums, int64_t stride, int64_t channel, int64_t pixel,
            int64_t pixels) {
  const Int8Epilogue& e = *t.epilogue;
  const int count = kCount > 0 ? kCount : int(t.channels - channel);
  const auto mask = __mmask16((1u << count) - 1);
  const __m512 scale = _mm512_loadu_ps(t.scales + channel);
  const __m512 low = _mm512_set1_ps(e.low), high = _mm512_set1_ps(e.high);
  const __m512 weight = _mm512_set1_ps(e.residual_scale);
  const bool clamps = e.clamps;
  __m512 bias = _mm512_loadu_ps(t.bias + channel);
  if (residual != Kind::kNone)
    bias = _mm512_fnmadd_ps(_mm512_set1_ps(e.residual_zero), weight, bias);
  int64_t at = pixel * t.stride + channel;
  for (int64_t p = 0; p < pixels; ++p, at += t.stride) {
    __m512 v =
        _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_loadu_si512(sums + p * stride)), scale, bias);
    if (residual != Kind::kNone)
      v = _mm512_fmadd_ps(widened<kCount>(residual, t.residual + at, count), weight, v);
    if (clamps) v = _mm512_min_ps(_mm512_max_ps(v, low), high);
    if (result == Kind::kF32) {
      _mm512_mask_storeu_ps(static_cast<float*>(t.y) + at, mask, v);
      continue;
    }
    __m512i rounded = _mm512_cvtps_epi32(v);
    if (result == Kind::kU8) rounded = _mm512_max_epi32(rounded, _mm512_setzero_si512());
    const __m128i bytes =
        result == Kind::kU8 ? _mm512_cvtusepi32_epi8(rounded) : _mm512_cvtsepi32_epi8(rounded);
    auto* y = static_cast<uint8_t*>(t.y) + at;
    if (kCount == 16)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(y), bytes);
    else if (kCount == 8)
      _mm_storel_epi64(reinterpret_cast<__m128i*>(y), bytes);
    else
      store_bytes(y, bytes, count);
  }
}

template <Kind result, Kind residual>
void finish_part(const Int8Tile& t, const int32_t* sums, int64_t stride, int64_t channel,
                 int64_t pixel, int64_t pixels) {
  const int64_t left = t.channels - channel;
  (left >= 16  ? finish<result, residual, 16>
   : left == 8 ? finish<result, residual, 8>
               : finish<result, residual, 0>)(t, sums, stride, channel, pixel, pixels);
}

using Finish = void (*)(const Int8Tile&, const int32_t*, int64_t, int64_t, int64_t, int64_t);

template <Kind result>
Finish finish_with(Kind residual) {
  return residual == Kind::kNone ? finish_part<result, Kind::kNone>
         : residual == Kind::kU8 ? finish_part<result, Kind::kU8>
                                 : finish_part<result, Kind::kI8>;
}

Finish finish_of(const Int8Epilogue& e) {
  return e.result == Kind::kU8   ? finish_with<Kind::kU8>(e.residual)
         : e.result == Kind::kI8 ? finish_with<Kind::kI8>(e.residual)
                                 : finish_with<Kind::kF32>(e.residual);
}

template <int kVectors, int kPixels>
void tile_of(const Int8Tile& t, Finish finish, int64_t first) {
  __m512i sum[kPixels][kVectors];
#pragma GCC unroll 16
  for (int p = 0; p < kPixels; ++p)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) sum[p][v] = _mm512_loadu_si512(t.start + 16 * v);
  const uint8_t* image = t.image + first * t.step;
  const int8_t* weights = t.weights;
  // Every fourth pixel has a pointer of its own, so that addresses do not wait for each other.
  constexpr int kGroups = (kPixels + 3) / 4;
  const int64_t step = t.step, thrice = 3 * t.step;
  int64_t group_at[4] = {0, 4 * step, 8 * step, 12 * step};
#pragma GCC unroll 4
  for (int g = 1; g < kGroups; ++g) __asm__("" : "+r"(group_at[g]));
  for (int64_t k = 0; k < t.taps; ++k, weights += 64 * kVectors) {
    const uint8_t* x = image + t.offsets[k];
    __m512i w[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) w[v] = _mm512_loadu_si512(weights + 64 * v);
#pragma GCC unroll 16
    for (int p = 0; p < kPixels; ++p) {
      const uint8_t* from = x + group_at[p / 4];
      const int in_group = p % 4;
      from += in_group == 0 ? 0 : in_group == 1 ? step : in_group == 2 ? 2 * step : thrice;
      int32_t four;
      __builtin_memcpy(&four, from, 4);
      const __m512i taps = _mm512_set1_epi32(four);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) dot4(sum[p][v], taps, w[v]);
    }
  }
  alignas(64) int32_t sums[kPixels][16 * kVectors];
#pragma GCC unroll 16
  for (int p = 0; p < kPixels; ++p)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) _mm512_store_si512(&sums[p][16 * v], sum[p][v]);
  for (int v = 0; v < kVectors && 16 * v < t.channels; ++v)
    finish(t, &sums[0][16 * v], 16 * kVectors, 16 * v, first, kPixels);
}

// Rows of three taps: a group of four bytes is read once and meets all the weights it has along the
// row, in up to three output pixels.
template <int kVectors, int kPixels, int kStride>
void triple_tile(const Int8Tile& t, Finish finish, int64_t first) {
  __m512i sum[kPixels][kVectors];
#pragma GCC unroll 16
  for (int p = 0; p < kPixels; ++p)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) sum[p][v] = _mm512_loadu_si512(t.start + 16 * v);
  const uint8_t* image = t.image + first * t.step;
  const int8_t* weights = t.weights;
  constexpr int kColumns = (kPixels - 1) * kStride + 3;
  constexpr int kGroups = (kColumns + 3) / 4;
  const int64_t step = t.column, thrice = 3 * t.column;
  int64_t group_at[kGroups];
#pragma GCC unroll 9
  for (int g = 0; g < kGroups; ++g) {
    group_at[g] = 4 * g * step;
    __asm__("" : "+r"(group_at[g]));
  }
  for (int64_t k = 0; k < t.taps; ++k, weights += 3 * 64 * kVectors) {
    const uint8_t* x = image + t.offsets[k];
    __m512i w[3][kVectors];
#pragma GCC unroll 3
    for (int j = 0; j < 3; ++j)
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v)
        w[j][v] = _mm512_loadu_si512(weights + 64 * (j * kVectors + v));
#pragma GCC unroll 33
    for (int column = 0; column < kColumns; ++column) {
      const uint8_t* from = x + group_at[column / 4];
      const int in_group = column % 4;
      from += in_group == 0 ? 0 : in_group == 1 ? step : in_group == 2 ? 2 * step : thrice;
      int32_t four;
      __builtin_memcpy(&four, from, 4);
      const __m512i taps = _mm512_set1_epi32(four);
#pragma GCC unroll 3
      for (int j = 0; j < 3; ++j) {
        const int at = column - j;
        if (at < 0 || at % kStride != 0 || at / kStride >= kPixels) continue;
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) dot4(sum[at / kStride][v], taps, w[j][v]);
      }
    }
  }
  alignas(64) int32_t sums[kPixels][16 * kVectors];
#pragma GCC unroll 16
  for (int p = 0; p < kPixels; ++p)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) _mm512_store_si512(&sums[p][16 * v], sum[p][v]);
  for (int v = 0; v < kVectors && 16 * v < t.channels; ++v)
    finish(t, &sums[0][16 * v], 16 * kVectors, 16 * v, first, kPixels);
}

template <int kVectors, int kPixels, int kStride>
void triple_row(const Int8Tile& t, int64_t pixels) {
  const Finish finish = finish_of(*t.epilogue);
  int64_t p = 0;
  for (; p + kPixels <= pixels; p += kPixels) triple_tile<kVectors, kPixels, kStride>(t, finish, p);
  if (kPixels > 8 && p + 8 <= pixels) {
    triple_tile<kVectors, 8, kStride>(t, finish, p);
    p += 8;
  }
  for (; p + 4 <= pixels; p += 4) triple_tile<kVectors, 4, kStride>(t, finish, p);
  for (; p < pixels; ++p) triple_tile<kVectors, 1, kStride>(t, finish, p);
}

template <int kVectors, int kPixels>
void row_of(const Int8Tile& t, int64_t pixels) {
  const Finish finish = finish_of(*t.epilogue);
  int64_t p = 0;
  for (; p + kPixels <= pixels; p += kPixels) tile_of<kVectors, kPixels>(t, finish, p);
  if (p + 8 <= pixels && kPixels > 8) {
    tile_of<kVectors, 8>(t, finish, p);
    p += 8;
  }
  for (; p + 4 <= pixels; p += 4) tile_of<kVectors, 4>(t, finish, p);
  for (; p < pixels; ++p) tile_of<kVectors, 1>(t, finish, p);
}

}  // namespace

void int8_conv_finish(const Int8Tile& t, const int32_t* sums, int64_t sums_stride, int64_t channel,
                      int64_t pixels) {
  finish_of (*t.epilogue)(t, sums, sums_stride, channel, 0, pixels);
}

void int8_conv_row(const Int8Tile& t, int vectors, int64_t pixels) {
  if (t.triples == 1)
    return vectors == 2 ? triple_row<2, 8, 1>(t, pixels) : triple_row<1, 16, 1>(t, pixels);
  if (t.triples == 2)
    return vectors == 2 ? triple_row<2, 8, 2>(t, pixels) : triple_row<1, 16, 2>(t, pixels);
  if (vectors == 2)
    row_of<2, 8>(t, pixels);
  else
    row_of<1, 16>(t, pixels);
}

}  // namespace espalier::kernels

#pragma GCC pop_options
#pragma GCC diagnostic pop

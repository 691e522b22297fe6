#include "kernels/depthwise_integers_row.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/depthwise_integers_row.cpp"
#include "kernels/simd.h"
//
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <type_traits>

#include "kernels/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

constexpr int64_t kBlock = kDepthwiseChannels;
using DB = hn::CappedTag<float, kBlock>;
using VB = hn::Vec<DB>;

template <class T>
HWY_INLINE void columns_of(const T* x, float zero, int64_t step, int64_t count, float* y) {
  const DB d;
  const hn::RebindToSigned<DB> di;
  const hn::Rebind<T, DB> narrow;
  const auto zeros = hn::Set(d, zero);
  const int64_t lanes = int64_t(hn::Lanes(d));
  const auto each = [&](auto finish) HWY_ATTR {
    for (int64_t i = 0; i < count; ++i, x += step, y += kBlock)
      for (int64_t c = 0; c < kBlock; c += lanes)
        hn::StoreU(finish(hn::ConvertTo(d, hn::PromoteTo(di, hn::LoadU(narrow, x + c)))), d, y + c);
  };
  if (zero == 0)
    each([](VB v) HWY_ATTR { return v; });
  else
    each([&](VB v) HWY_ATTR { return hn::Sub(v, zeros); });
}

void columns_all(const void* x, bool is_signed, float zero, int64_t step, int64_t count, float* y) {
  if (is_signed)
    columns_of(static_cast<const int8_t*>(x), zero, step, count, y);
  else
    columns_of(static_cast<const uint8_t*>(x), zero, step, count, y);
}

/// What follows the sums of one vector of channels.
template <class T>
class Writer {
 public:
  Writer(const DepthwiseRow& t, int64_t channel)
      : bias_(hn::LoadU(DB(), t.bias + channel)),
        scale_(hn::LoadU(DB(), t.scales + channel)),
        low_(hn::Set(DB(), t.low)),
        high_(hn::Set(DB(), t.high)),
        y_(static_cast<T*>(t.y) + channel),
        step_(t.y_step) {}

  HWY_INLINE void write(VB sum, int64_t pixel) const {
    const DB d;
    T* to = y_ + pixel * step_;
    if constexpr (std::is_same_v<T, float>) {
      hn::StoreU(real(sum), d, to);
    } else {
      const hn::Rebind<T, DB> narrow;
      hn::StoreU(hn::DemoteTo(narrow, hn::NearestInt(real(sum))), narrow, to);
    }
  }
  /// Of a pixel and the next.
  HWY_INLINE void write(VB first, VB second, int64_t pixel) const {
#if HWY_TARGET == HWY_AVX2
    if constexpr (!std::is_same_v<T, float>) {
      const __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(real(first).raw),
                                               _mm256_cvtps_epi32(real(second).raw));
      const __m256i v = std::is_signed_v<T> ? _mm256_packs_epi16(words, words)
                                            : _mm256_packus_epi16(words, words);
      const __m128i both =
          _mm_unpacklo_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(y_ + pixel * step_), both);
      _mm_storeh_pd(reinterpret_cast<double*>(y_ + (pixel + 1) * step_), _mm_castsi128_pd(both));
      return;
    }
#endif
    write(first, pixel);
    write(second, pixel + 1);
  }

 private:
  HWY_INLINE VB real(VB sum) const {
    return hn::Min(hn::Max(hn::MulAdd(sum, scale_, bias_), low_), high_);
  }
  VB bias_, scale_, low_, high_;
  T* y_;
  int64_t step_;
};

/// So many pixels, whose windows share columns.
template <int kColumns, int kStride, int kPixels, class T>
HWY_INLINE void pixels_of(const DepthwiseRow& t, const Writer<T>& writer, int64_t channel,
                          int64_t pixel) {
  const DB d;
  VB sum[kPixels];
#pragma GCC unroll 8
  for (int p = 0; p < kPixels; ++p) sum[p] = hn::Zero(d);
  const float* weights = t.weights + channel;
  for (int64_t r = 0; r < t.window_rows; ++r, weights += kColumns * kBlock) {
    const float* x = t.rows[r] + pixel * kStride * kBlock + channel;
    VB w[kColumns];
#pragma GCC unroll 8
    for (int j = 0; j < kColumns; ++j) w[j] = hn::LoadU(d, weights + j * kBlock);
#pragma GCC unroll 32
    for (int c = 0; c < (kPixels - 1) * kStride + kColumns; ++c) {
      const VB column = hn::LoadU(d, x + c * kBlock);
#pragma GCC unroll 8
      for (int p = 0; p < kPixels; ++p) {
        const int j = c - p * kStride;
        if (j >= 0 && j < kColumns) sum[p] = hn::MulAdd(column, w[j], sum[p]);
      }
    }
  }
  if constexpr (kPixels == 1) {
    writer.write(sum[0], pixel);
  } else {
#pragma GCC unroll 4
    for (int p = 0; p < kPixels; p += 2) writer.write(sum[p], sum[p + 1], pixel + p);
  }
}

template <int kColumns, int kStride, class T>
void window_row(const DepthwiseRow& t) {
  const int64_t lanes = int64_t(hn::Lanes(DB()));
  for (int64_t c = 0; c < kBlock; c += lanes) {
    const Writer<T> writer(t, c);
    int64_t p = 0;
    for (; p + 8 <= t.pixels; p += 8) pixels_of<kColumns, kStride, 8>(t, writer, c, p);
    const int64_t left = t.pixels - p;
    if (left & 4) pixels_of<kColumns, kStride, 4>(t, writer, c, p), p += 4;
    if (left & 2) pixels_of<kColumns, kStride, 2>(t, writer, c, p), p += 2;
    if (left & 1) pixels_of<kColumns, kStride, 1>(t, writer, c, p);
  }
}

template <class T>
void any_row(const DepthwiseRow& t) {
  const DB d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  for (int64_t c = 0; c < kBlock; c += lanes) {
    const Writer<T> writer(t, c);
    for (int64_t p = 0; p < t.pixels; ++p) {
      VB sum = hn::Zero(d);
      const float* w = t.weights + c;
      for (int64_t r = 0; r < t.window_rows; ++r) {
        const float* x = t.rows[r] + p * t.stride * kBlock + c;
        for (int64_t j = 0; j < t.window_columns; ++j, w += kBlock)
          sum = hn::MulAdd(hn::LoadU(d, x + j * t.dilation * kBlock), hn::LoadU(d, w), sum);
      }
      writer.write(sum, p);
    }
  }
}

template <class T>
void row_as(const DepthwiseRow& t) {
  if (t.dilation == 1 && t.window_columns == 3 && t.stride == 1) return window_row<3, 1, T>(t);
  if (t.dilation == 1 && t.window_columns == 3 && t.stride == 2) return window_row<3, 2, T>(t);
  if (t.dilation == 1 && t.window_columns == 5 && t.stride == 1) return window_row<5, 1, T>(t);
  if (t.dilation == 1 && t.window_columns == 5 && t.stride == 2) return window_row<5, 2, T>(t);
  any_row<T>(t);
}

void row_all(const DepthwiseRow& t) {
  if (t.y_type == DType::u8) return row_as<uint8_t>(t);
  if (t.y_type == DType::i8) return row_as<int8_t>(t);
  row_as<float>(t);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::kernels {

HWY_EXPORT(columns_all);
HWY_EXPORT(row_all);

void depthwise_columns(const void* x, DType type, float zero, int64_t step, int64_t count,
                       float* y) {
  HWY_DYNAMIC_DISPATCH(columns_all)(x, type == DType::i8, zero, step, count, y);
}

void depthwise_row(const DepthwiseRow& row) { HWY_DYNAMIC_DISPATCH(row_all)(row); }

}  // namespace espalier::kernels
#endif

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
  for (int64_t i = 0; i < count; ++i, x += step, y += kBlock)
    for (int64_t c = 0; c < kBlock; c += lanes) {
      const auto wide = hn::ConvertTo(d, hn::PromoteTo(di, hn::LoadU(narrow, x + c)));
      hn::StoreU(hn::Sub(wide, zeros), d, y + c);
    }
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
        factor_(hn::Set(DB(), t.factor)),
        offset_(hn::Set(DB(), t.offset)),
        y_(static_cast<T*>(t.y) + channel),
        step_(t.y_step) {}

  HWY_INLINE void write(VB sum, int64_t pixel) const {
    const DB d;
    const VB real = hn::Mul(hn::Add(sum, bias_), scale_);
    const VB cut = hn::Min(hn::Max(real, low_), high_);
    const VB v = hn::Add(hn::Mul(cut, factor_), offset_);
    T* to = y_ + pixel * step_;
    if constexpr (std::is_same_v<T, float>) {
      hn::StoreU(v, d, to);
    } else {
      // Within what 32 bits hold.
      const VB near = hn::Min(hn::Max(v, hn::Set(d, -1024.0f)), hn::Set(d, 1024.0f));
      const hn::Rebind<T, DB> narrow;
      hn::StoreU(hn::DemoteTo(narrow, hn::NearestInt(near)), narrow, to);
    }
  }

 private:
  VB bias_, scale_, low_, high_, factor_, offset_;
  T* y_;
  int64_t step_;
};

/// So many pixels, whose windows share columns.
template <int kColumns, int kStride, int kPixels, class T>
HWY_INLINE void pixels_of(const DepthwiseRow& t, const Writer<T>& writer, int64_t channel,
                          int64_t pixel) {
  const DB d;
  VB sum[kPixels];
#pragma GCC unroll 16
  for (int p = 0; p < kPixels; ++p) sum[p] = hn::Zero(d);
  const float* weights = t.weights + channel;
  for (int64_t r = 0; r < t.window_rows; ++r, weights += kColumns * kBlock) {
    const float* x = t.rows[r] + pixel * kStride * kBlock + channel;
    VB w[kColumns];
#pragma GCC unroll 16
    for (int j = 0; j < kColumns; ++j) w[j] = hn::LoadU(d, weights + j * kBlock);
    constexpr int kReach = (kPixels - 1) * kStride + kColumns;
#pragma GCC unroll 16
    for (int c = 0; c < kReach; ++c) {
      const VB column = hn::LoadU(d, x + c * kBlock);
#pragma GCC unroll 16
      for (int p = 0; p < kPixels; ++p) {
        const int j = c - p * kStride;
        if (j >= 0 && j < kColumns) sum[p] = hn::MulAdd(column, w[j], sum[p]);
      }
    }
  }
#pragma GCC unroll 16
  for (int p = 0; p < kPixels; ++p) writer.write(sum[p], pixel + p);
}

template <int kColumns, int kStride, class T>
void window_row(const DepthwiseRow& t) {
  constexpr int kPixels = 4;
  const int64_t lanes = int64_t(hn::Lanes(DB()));
  for (int64_t c = 0; c < kBlock; c += lanes) {
    const Writer<T> writer(t, c);
    int64_t p = 0;
    for (; p + kPixels <= t.pixels; p += kPixels)
      pixels_of<kColumns, kStride, kPixels>(t, writer, c, p);
    for (; p < t.pixels; ++p) pixels_of<kColumns, kStride, 1>(t, writer, c, p);
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

#include "kernels/max_pool.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/max_pool.cpp"
#include "kernels/simd.h"
//
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// The elements of one axis that window `at` sees: `count` of them from `first` on, a dilation
/// apart.
struct Seen {
  int64_t first, count;
};
Seen seen(const PoolAxis& a, int64_t at) {
  const int64_t start = at * a.stride - a.begin;
  const int64_t skip = start < 0 ? (-start + a.dilation - 1) / a.dilation : 0;
  const int64_t first = start + skip * a.dilation;
  const int64_t fit = (a.in - 1 - first) / a.dilation + 1;
  return {first, std::min(a.kernel - skip, fit)};
}

/// One window: elements from `x` on, `down` and `right` apart.
template <class T>
struct Window {
  const T* x;
  int64_t rows, columns, down, right;
};

template <class D, class T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> largest(D d, const Window<T>& w, int64_t channel) {
  auto most = hn::LoadU(d, w.x + channel);
  for (int64_t r = 0; r < w.rows; ++r)
    for (int64_t c = 0; c < w.columns; ++c)
      most = hn::Max(hn::LoadU(d, w.x + channel + r * w.down + c * w.right), most);
  return most;
}

template <class T>
T largest_of_one(const Window<T>& w, int64_t channel) {
  T most = w.x[channel];
  for (int64_t r = 0; r < w.rows; ++r)
    for (int64_t c = 0; c < w.columns; ++c)
      most = std::max(most, w.x[channel + r * w.down + c * w.right]);
  return most;
}

template <class T>
void pool_window(const Window<T>& w, int64_t channels, T* y) {
  const hn::ScalableTag<T> d;
  const auto lanes = int64_t(hn::Lanes(d));
  int64_t c = 0;
  for (; c + lanes <= channels; c += lanes) hn::StoreU(largest(d, w, c), d, y + c);
  if (c < channels && channels >= lanes) {
    // The last vector overlaps the one before.
    c = channels - lanes;
    hn::StoreU(largest(d, w, c), d, y + c);
    return;
  }
  for (; c < channels; ++c) y[c] = largest_of_one(w, c);
}

/// Rows [begin, end) of results, counted over all images.
template <class T>
void pool_rows(const MaxPool& p, const T* x, T* y, int64_t begin, int64_t end) {
  const int64_t row_size = p.columns.in * p.channels;
  for (int64_t i = begin; i < end; ++i) {
    const Seen rows = seen(p.rows, i % p.rows.out);
    const T* image = x + i / p.rows.out * p.rows.in * row_size;
    for (int64_t j = 0; j < p.columns.out; ++j) {
      const Seen columns = seen(p.columns, j);
      const Window<T> w{image + rows.first * row_size + columns.first * p.channels, rows.count,
                        columns.count, p.rows.dilation * row_size, p.columns.dilation * p.channels};
      pool_window(w, p.channels, y + (i * p.columns.out + j) * p.channels);
    }
  }
}

template <class T>
void pool_typed(const MaxPool& p, const void* x, void* y, int64_t begin, int64_t end) {
  pool_rows(p, static_cast<const T*>(x), static_cast<T*>(y), begin, end);
}

void pool_range(const MaxPool& p, const void* x, void* y, int64_t begin, int64_t end) {
  if (p.type == DType::f32) return pool_typed<float>(p, x, y, begin, end);
  if (p.type == DType::u8) return pool_typed<uint8_t>(p, x, y, begin, end);
  pool_typed<int8_t>(p, x, y, begin, end);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "base/threads.h"

namespace espalier::kernels {
HWY_EXPORT(pool_range);

void max_pool(const MaxPool& p, const void* x, void* y) {
  const int64_t each = p.columns.out * p.channels * p.rows.kernel * p.columns.kernel;
  const int64_t grain = std::max<int64_t>(1, (1 << 15) / std::max<int64_t>(1, each));
  parallel_for(p.images * p.rows.out, grain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(pool_range)(p, x, y, begin, end);
  });
}

}  // namespace espalier::kernels
#endif

#include "kernels/winograd_transform.h"

#include <hwy/cache_control.h>
#include <type_traits>

#include "kernels/jit/micro_kernel.h"
#include "kernels/winograd_cost.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/winograd_transform.cpp"
#include "kernels/simd.h"
//
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/simd_math-inl.h"
#include "kernels/winograd_axis-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// Of the products' vectors.
constexpr int64_t kLanes = kGemmLanes;

/// How many of this vector's lanes hold channels, where the first is channel c.
template <class D>
size_t lanes_at(D d, int64_t c, int64_t channels) {
  return size_t(HWY_MAX(int64_t{0}, HWY_MIN(int64_t(hn::Lanes(d)), channels - c)));
}

template <class D>
HWY_INLINE hn::Vec<D> load(D d, const float* at, size_t lanes) {
  return lanes == hn::Lanes(d) ? hn::LoadU(d, at) : hn::MaskedLoad(hn::FirstN(d, lanes), d, at);
}

template <class D>
HWY_INLINE hn::Vec<D> load(D d, const bfloat16* at, size_t lanes) {
  if (lanes == hn::Lanes(d)) return load_bf16(d, reinterpret_cast<const uint16_t*>(at));
  alignas(64) uint16_t some[kLanes] = {};
  for (size_t i = 0; i < lanes; ++i) some[i] = at[i].bits;
  return load_bf16(d, some);
}

template <class D>
HWY_INLINE void store(D d, hn::Vec<D> v, float* at, size_t lanes) {
  if (lanes == hn::Lanes(d))
    hn::StoreU(v, d, at);
  else
    hn::BlendedStore(v, hn::FirstN(d, lanes), d, at);
}

template <class D>
HWY_INLINE void store(D d, hn::Vec<D> v, bfloat16* at, size_t lanes) {
  if (lanes == hn::Lanes(d)) return store_bf16(d, v, reinterpret_cast<uint16_t*>(at));
  alignas(64) uint16_t some[kLanes];
  store_bf16(d, v, some);
  for (size_t i = 0; i < lanes; ++i) at[i].bits = some[i];
}

/// Where a tile is.
struct Place {
  int64_t image, row, column;  ///< of its first result
};

Place place_of(const WinogradImage& i, int64_t tile) {
  const int64_t column = tile % i.tiles_wide, row = tile / i.tiles_wide;
  return {row / i.tiles_high, row % i.tiles_high * i.tile, column * i.tile};
}

/// One vector of windows at all points.
template <int kTile, class T, class D>
HWY_INLINE void window_at_points(D d, const WinogradTaps& taps, int64_t in, int64_t out,
                                 hn::Vec<D>* v) {
  constexpr int kPatch = kTile + 2;
  const T* data = static_cast<const T*>(taps.data) + in * taps.in_stride + out;
  const size_t lanes = lanes_at(d, out, taps.out);
  hn::Vec<D> g[9], rows[3 * kPatch];
  for (int64_t t = 0; t < 9; ++t) g[t] = load(d, data + t * taps.tap_stride, lanes);
  for (int r = 0; r < 3; ++r) Axis<kTile>::window(d, g + 3 * r, 1, rows + r * kPatch, 1);
  for (int k = 0; k < kPatch; ++k) Axis<kTile>::window(d, rows + k, kPatch, v + k, kPatch);
}

/// `even` in the lower halves of lanes and `odd` in the upper ones, as bf16.
template <class D>
HWY_INLINE hn::Vec<hn::RebindToUnsigned<D>> paired(D d, hn::Vec<D> even, hn::Vec<D> odd) {
  const hn::RebindToUnsigned<D> du;
  return hn::Or(hn::ShiftRight<16>(upper_bf16(d, even)),
                hn::And(upper_bf16(d, odd), hn::Set(du, 0xFFFF0000u)));
}

template <int kTile, class T>
void windows(const WinogradTaps& taps, const Cut& columns, int64_t first, int64_t last,
             WinogradNumbers numbers, void* to) {
  constexpr int kPoints = (kTile + 2) * (kTile + 2);
  const hn::CappedTag<float, kLanes> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const bool pairs = numbers == WinogradNumbers::kPairs;
  const int64_t together = pairs ? 2 : 1, plane = kLanes * columns.n * taps.in / together;
  auto* const words = static_cast<uint32_t*>(to);
  // Whole lines that would not stay are written without being read.
  const bool past_caches = hn::Lanes(d) == kLanes && uintptr_t(to) % 64 == 0 &&
                           kPoints * plane * int64_t(sizeof(uint32_t)) > kWinogradFar;
  const auto keep = [&](hn::Vec<decltype(du)> v, uint32_t* at) {
    past_caches ? hn::Stream(v, du, at) : hn::StoreU(v, du, at);
  };
  for (int64_t panel = 0; panel < columns.parts; ++panel) {
    const int64_t begin = kLanes * columns.begin(panel), width = kLanes * columns.size(panel);
    for (int64_t i = first; i < last; i += together)
      for (int64_t o = 0; o < width; o += int64_t(hn::Lanes(d))) {
        hn::Vec<decltype(d)> v[kPoints];
        window_at_points<kTile, T>(d, taps, i, begin + o, v);
        uint32_t* at = words + (begin * taps.in + i * width) / together + o;
        if (pairs) {
          hn::Vec<decltype(d)> odd[kPoints];
          window_at_points<kTile, T>(d, taps, i + 1, begin + o, odd);
          for (int64_t p = 0; p < kPoints; ++p) keep(paired(d, v[p], odd[p]), at + p * plane);
        } else {
          for (int64_t p = 0; p < kPoints; ++p) keep(hn::BitCast(du, v[p]), at + p * plane);
        }
      }
  }
  if (past_caches) hwy::FlushStream();
}

/// One vector of channels of a tile, from channel c on, at all points; `t` counts tiles from `to`.
template <int kPatch, class D>
HWY_INLINE void store_points(D d, const hn::Vec<D>* v, void* to, int64_t t, int64_t c, size_t lanes,
                             const WinogradLayout& l) {
  constexpr int64_t kPoints = kPatch * kPatch;
  const bool pairs = l.numbers == WinogradNumbers::kPairs;
  const int64_t at = (pairs ? t / 2 : t) * l.row + c / kLanes * l.panel + c % kLanes;
  if (l.numbers == WinogradNumbers::kF32) {
    auto* channel = static_cast<float*>(to) + at;
    for (int64_t p = 0; p < kPoints; ++p) store(d, v[p], channel + p * l.plane, lanes);
  } else if (!pairs) {
    auto* channel = static_cast<bfloat16*>(to) + at;
    for (int64_t p = 0; p < kPoints; ++p) store(d, v[p], channel + p * l.plane, lanes);
  } else {
    // The first of two tiles leaves zeros for the second.
    const hn::RebindToUnsigned<D> du;
    auto* channel = static_cast<uint32_t*>(to) + at;
    for (int64_t p = 0; p < kPoints; ++p, channel += l.plane)
      hn::StoreU(t % 2 == 0 ? hn::ShiftRight<16>(upper_bf16(d, v[p]))
                            : hn::Or(hn::LoadU(du, channel),
                                     hn::And(upper_bf16(d, v[p]), hn::Set(du, 0xFFFF0000u))),
                 du, channel);
  }
}

template <int kTile, class T>
void patches(const WinogradImage& i, int64_t top, int64_t left, const T* x, int64_t first,
             int64_t last, void* to, const WinogradLayout& layout) {
  constexpr int kPatch = kTile + 2;
  const hn::CappedTag<float, kLanes> d;
  for (int64_t tile = first; tile < last; ++tile) {
    const Place at = place_of(i, tile);
    const int64_t y0 = at.row - top, x0 = at.column - left;
    const T* source = x + ((at.image * i.height + y0) * i.width + x0) * i.channels;
    const auto inside = [](int64_t begin, int64_t extent, int64_t k) {
      return begin + k >= 0 && begin + k < extent;
    };
    const bool whole = inside(y0, i.height, 0) && inside(y0, i.height, kPatch - 1) &&
                       inside(x0, i.width, 0) && inside(x0, i.width, kPatch - 1);
    for (int64_t c = 0; c < i.channels; c += int64_t(hn::Lanes(d))) {
      const size_t lanes = lanes_at(d, c, i.channels);
      hn::Vec<decltype(d)> v[kPatch * kPatch];
      for (int64_t r = 0; r < kPatch; ++r) {
        for (int64_t k = 0; k < kPatch; ++k)
          v[r * kPatch + k] = whole || (inside(y0, i.height, r) && inside(x0, i.width, k))
                                  ? load(d, source + (r * i.width + k) * i.channels + c, lanes)
                                  : hn::Zero(d);
        Axis<kTile>::patch(d, v + r * kPatch, 1);
      }
      for (int64_t k = 0; k < kPatch; ++k) Axis<kTile>::patch(d, v + k, kPatch);
      store_points<kPatch>(d, v, to, tile - first, c, lanes, layout);
    }
  }
}

template <int kTile, class T>
void gradients(const WinogradImage& i, const T* dy, int64_t first, int64_t last, void* to,
               const WinogradLayout& layout) {
  constexpr int kPatch = kTile + 2;
  const hn::CappedTag<float, kLanes> d;
  for (int64_t tile = first; tile < last; ++tile) {
    const Place at = place_of(i, tile);
    const int64_t rows = i.height - at.row, columns = i.width - at.column;
    const T* source = dy + ((at.image * i.height + at.row) * i.width + at.column) * i.channels;
    for (int64_t c = 0; c < i.channels; c += int64_t(hn::Lanes(d))) {
      const size_t lanes = lanes_at(d, c, i.channels);
      hn::Vec<decltype(d)> v[kPatch * kPatch];
      for (int64_t r = 0; r < kTile; ++r) {
        for (int64_t k = 0; k < kTile; ++k)
          v[r * kPatch + k] = r < rows && k < columns
                                  ? load(d, source + (r * i.width + k) * i.channels + c, lanes)
                                  : hn::Zero(d);
        Axis<kTile>::gradient(d, v + r * kPatch, 1);
      }
      for (int64_t k = 0; k < kPatch; ++k) Axis<kTile>::gradient(d, v + k, kPatch);
      store_points<kPatch>(d, v, to, tile - first, c, lanes, layout);
    }
  }
}

template <int kTile>
void window_gradients(const float* sums, int64_t in, int64_t row, int64_t first, int64_t last,
                      float* taps) {
  constexpr int kPatch = kTile + 2;
  const hn::CappedTag<float, kLanes> d;
  for (int64_t i = first; i < last; ++i)
    for (int64_t o = 0; o < row; o += int64_t(hn::Lanes(d))) {
      hn::Vec<decltype(d)> v[kPatch * kPatch];
      for (int64_t p = 0; p < kPatch * kPatch; ++p)
        v[p] = hn::LoadU(d, sums + (p * in + i) * row + o);
      for (int64_t r = 0; r < kPatch; ++r) Axis<kTile>::window_gradient(d, v + r * kPatch, 1);
      for (int64_t k = 0; k < 3; ++k) Axis<kTile>::window_gradient(d, v + k, kPatch);
      for (int64_t t = 0; t < 9; ++t)
        hn::StoreU(v[t / 3 * kPatch + t % 3], d, taps + (i * 9 + t) * row + o);
    }
}

template <int kTile, class T>
void results(const WinogradImage& i, const WinogradEpilogue& e, const float* products,
             int64_t plane, int64_t first, int64_t last, const T* residual, T* y) {
  constexpr int kPatch = kTile + 2;
  const hn::CappedTag<float, kLanes> d;
  const auto low = hn::Set(d, e.low), high = hn::Set(d, e.high);
  const int64_t row = (i.channels + kLanes - 1) / kLanes * kLanes;
  for (int64_t tile = first; tile < last; ++tile, products += row) {
    const Place at = place_of(i, tile);
    const int64_t rows = HWY_MIN(kTile, i.height - at.row);
    const int64_t columns = HWY_MIN(kTile, i.width - at.column);
    const int64_t base = ((at.image * i.height + at.row) * i.width + at.column) * i.channels;
    for (int64_t c = 0; c < i.channels; c += int64_t(hn::Lanes(d))) {
      const size_t lanes = lanes_at(d, c, i.channels);
      hn::Vec<decltype(d)> v[kPatch * kPatch];
      for (int64_t r = 0; r < kPatch; ++r) {
        for (int64_t k = 0; k < kPatch; ++k)
          v[r * kPatch + k] = hn::LoadU(d, products + (r * kPatch + k) * plane + c);
        Axis<kTile>::result(d, v + r * kPatch, 1);
      }
      for (int64_t k = 0; k < kTile; ++k) Axis<kTile>::result(d, v + k, kPatch);
      const auto bias = e.bias ? load(d, e.bias + c, lanes) : hn::Zero(d);
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t k = 0; k < columns; ++k) {
          const int64_t element = base + (r * i.width + k) * i.channels + c;
          auto result = hn::Add(v[r * kPatch + k], bias);
          if (residual) result = hn::Add(result, load(d, residual + element, lanes));
          // In this order, NaN stays NaN.
          store(d, hn::Min(high, hn::Max(low, result)), y + element, lanes);
        }
    }
  }
}

/// Calls body(tile, number): both of types that know what they stand for.
template <class F>
void for_kind(int64_t tile, DType type, const F& body) {
  const auto of_type = [&](auto number) {
    if (tile == 4)
      body(std::integral_constant<int, 4>(), number);
    else
      body(std::integral_constant<int, 2>(), number);
  };
  if (type == DType::f32)
    of_type(float());
  else
    of_type(bfloat16());
}

void windows_of(int64_t tile, const WinogradTaps& taps, const Cut& columns, int64_t first,
                int64_t last, WinogradNumbers numbers, void* to) {
  for_kind(tile, taps.type, [&](auto kTile, auto number) {
    windows<kTile, decltype(number)>(taps, columns, first, last, numbers, to);
  });
}

void patches_of(const WinogradImage& i, int64_t top, int64_t left, const void* x, int64_t first,
                int64_t last, void* to, const WinogradLayout& layout) {
  for_kind(i.tile, i.type, [&](auto kTile, auto number) {
    patches<kTile>(i, top, left, static_cast<const decltype(number)*>(x), first, last, to, layout);
  });
}

void gradients_of(const WinogradImage& i, const void* dy, int64_t first, int64_t last, void* to,
                  const WinogradLayout& layout) {
  for_kind(i.tile, i.type, [&](auto kTile, auto number) {
    gradients<kTile>(i, static_cast<const decltype(number)*>(dy), first, last, to, layout);
  });
}

void window_gradients_of(int64_t tile, const float* sums, int64_t in, int64_t row, int64_t first,
                         int64_t last, float* taps) {
  (tile == 4 ? window_gradients<4> : window_gradients<2>)(sums, in, row, first, last, taps);
}

void results_of(const WinogradImage& i, const WinogradEpilogue& e, const float* products,
                int64_t plane, int64_t first, int64_t last, const void* residual, void* y) {
  for_kind(i.tile, i.type, [&](auto kTile, auto number) {
    using T = decltype(number);
    results<kTile>(i, e, products, plane, first, last, static_cast<const T*>(residual),
                   static_cast<T*>(y));
  });
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::kernels {
HWY_EXPORT(windows_of);
HWY_EXPORT(patches_of);
HWY_EXPORT(gradients_of);
HWY_EXPORT(window_gradients_of);
HWY_EXPORT(results_of);

void winograd_windows(int64_t tile, const WinogradTaps& taps, const Cut& columns, int64_t first,
                      int64_t last, WinogradNumbers numbers, void* to) {
  HWY_DYNAMIC_DISPATCH(windows_of)(tile, taps, columns, first, last, numbers, to);
}

void winograd_patches(const WinogradImage& image, int64_t top, int64_t left, const void* x,
                      int64_t first, int64_t last, void* to, const WinogradLayout& layout) {
  HWY_DYNAMIC_DISPATCH(patches_of)(image, top, left, x, first, last, to, layout);
}

void winograd_gradients(const WinogradImage& image, const void* dy, int64_t first, int64_t last,
                        void* to, const WinogradLayout& layout) {
  HWY_DYNAMIC_DISPATCH(gradients_of)(image, dy, first, last, to, layout);
}

void winograd_window_gradients(int64_t tile, const float* sums, int64_t in, int64_t row,
                               int64_t first, int64_t last, float* taps) {
  HWY_DYNAMIC_DISPATCH(window_gradients_of)(tile, sums, in, row, first, last, taps);
}

void winograd_results(const WinogradImage& image, const WinogradEpilogue& epilogue,
                      const float* products, int64_t plane, int64_t first, int64_t last,
                      const void* residual, void* y) {
  HWY_DYNAMIC_DISPATCH(results_of)(image, epilogue, products, plane, first, last, residual, y);
}

}  // namespace espalier::kernels
#endif

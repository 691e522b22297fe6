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

// The points of 4x4 tiles are 0, ±√½, ±√2 and infinity: squares that are exact and products that
// are one keep the error of f32 within three times that of the plain sum, where ±1 and ±2 give
// five. Those of 2x2 tiles are 0, ±1 and infinity.
HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

constexpr float kSmall = 0.70710678f, kLarge = 1.41421356f;

/// Along one axis, for tiles of kTile results; elements are `step` apart.
template <int kTile>
struct Axis;

template <>
struct Axis<4> {
  /// Three taps become their polynomial's values at the six points, each over the product of the
  /// point's distances from the others.
  template <class D, class V>
  static HWY_INLINE void window(D d, const V* taps, int apart, V* v, int step) {
    const V two = hn::Set(d, 2.0f), half = hn::Set(d, 0.5f);
    const V g0 = taps[0], g1 = taps[apart], g2 = taps[2 * apart];
    const V even_small = hn::Mul(hn::MulAdd(half, g2, g0), hn::Set(d, -2.0f / 3));
    const V odd_small = hn::Mul(g1, hn::Set(d, -2.0f / 3 * kSmall));
    const V even_large = hn::Mul(hn::MulAdd(two, g2, g0), hn::Set(d, 1.0f / 6));
    const V odd_large = hn::Mul(g1, hn::Set(d, 1.0f / 6 * kLarge));
    v[0] = g0;
    v[step] = hn::Add(even_small, odd_small);
    v[2 * step] = hn::Sub(even_small, odd_small);
    v[3 * step] = hn::Add(even_large, odd_large);
    v[4 * step] = hn::Sub(even_large, odd_large);
    v[5 * step] = g2;
  }

  /// Six elements become the polynomial's factors at the points, in place.
  template <class D, class V>
  static HWY_INLINE void patch(D d, V* v, int step) {
    const V two = hn::Set(d, 2.0f), half = hn::Set(d, 0.5f), five_halves = hn::Set(d, 2.5f);
    const V small = hn::Set(d, kSmall), large = hn::Set(d, kLarge);
    const V d0 = v[0], d1 = v[step], d2 = v[2 * step], d3 = v[3 * step], d4 = v[4 * step],
            d5 = v[5 * step];
    const V even_small = hn::NegMulAdd(two, d2, d4), odd_small = hn::NegMulAdd(two, d1, d3);
    const V even_large = hn::NegMulAdd(half, d2, d4), odd_large = hn::NegMulAdd(half, d1, d3);
    v[0] = hn::Add(hn::NegMulAdd(five_halves, d2, d4), d0);
    v[step] = hn::MulAdd(small, odd_small, even_small);
    v[2 * step] = hn::NegMulAdd(small, odd_small, even_small);
    v[3 * step] = hn::MulAdd(large, odd_large, even_large);
    v[4 * step] = hn::NegMulAdd(large, odd_large, even_large);
    v[5 * step] = hn::Add(hn::NegMulAdd(five_halves, d3, d5), d1);
  }

  /// Six products become four results, in place of the first four.
  template <class D, class V>
  static HWY_INLINE void result(D d, V* v, int step) {
    const V two = hn::Set(d, 2.0f), half = hn::Set(d, 0.5f);
    const V small = hn::Set(d, kSmall), large = hn::Set(d, kLarge);
    const V even_small = hn::Add(v[step], v[2 * step]);
    const V odd_small = hn::Mul(hn::Sub(v[step], v[2 * step]), small);
    const V even_large = hn::Add(v[3 * step], v[4 * step]);
    const V odd_large = hn::Mul(hn::Sub(v[3 * step], v[4 * step]), large);
    v[0] = hn::Add(v[0], hn::Add(even_small, even_large));
    v[step] = hn::Add(odd_small, odd_large);
    v[2 * step] = hn::MulAdd(half, even_small, hn::Mul(two, even_large));
    v[3 * step] = hn::MulAdd(half, odd_small, hn::MulAdd(two, odd_large, v[5 * step]));
  }

  /// The transpose of `result`: gradients of four results become six.
  template <class D, class V>
  static HWY_INLINE void gradient(D d, V* v, int step) {
    const V two = hn::Set(d, 2.0f), half = hn::Set(d, 0.5f);
    const V small = hn::Set(d, kSmall), large = hn::Set(d, kLarge);
    const V y0 = v[0], y1 = v[step], y2 = v[2 * step], y3 = v[3 * step];
    const V even_small = hn::MulAdd(half, y2, y0), odd_small = hn::MulAdd(half, y3, y1);
    const V even_large = hn::MulAdd(two, y2, y0), odd_large = hn::MulAdd(two, y3, y1);
    v[step] = hn::MulAdd(small, odd_small, even_small);
    v[2 * step] = hn::NegMulAdd(small, odd_small, even_small);
    v[3 * step] = hn::MulAdd(large, odd_large, even_large);
    v[4 * step] = hn::NegMulAdd(large, odd_large, even_large);
    v[5 * step] = y3;
  }

  /// The transpose of `window`: six become the gradients of three taps, in place of the first
  /// three.
  template <class D, class V>
  static HWY_INLINE void window_gradient(D d, V* v, int step) {
    const V third = hn::Set(d, 1.0f / 3), sixth = hn::Set(d, 1.0f / 6);
    const V even_small = hn::Add(v[step], v[2 * step]), odd_small = hn::Sub(v[step], v[2 * step]);
    const V even_large = hn::Add(v[3 * step], v[4 * step]);
    const V odd_large = hn::Sub(v[3 * step], v[4 * step]);
    v[0] =
        hn::Add(v[0], hn::NegMulAdd(hn::Set(d, 2.0f / 3), even_small, hn::Mul(sixth, even_large)));
    v[step] = hn::NegMulAdd(hn::Set(d, 2.0f / 3 * kSmall), odd_small,
                            hn::Mul(hn::Set(d, 1.0f / 6 * kLarge), odd_large));
    v[2 * step] = hn::MulAdd(third, hn::Sub(even_large, even_small), v[5 * step]);
  }
};

template <>
struct Axis<2> {
  template <class D, class V>
  static HWY_INLINE void window(D d, const V* taps, int apart, V* v, int step) {
    const V half = hn::Set(d, 0.5f);
    const V g0 = taps[0], g2 = taps[2 * apart];
    const V even = hn::Mul(half, hn::Add(g0, g2)), odd = hn::Mul(half, taps[apart]);
    v[0] = g0;
    v[step] = hn::Add(even, odd);
    v[2 * step] = hn::Sub(even, odd);
    v[3 * step] = g2;
  }

  template <class D, class V>
  static HWY_INLINE void patch(D, V* v, int step) {
    const V d1 = v[step], d2 = v[2 * step];
    v[0] = hn::Sub(v[0], d2);
    v[step] = hn::Add(d1, d2);
    v[2 * step] = hn::Sub(d2, d1);
    v[3 * step] = hn::Sub(v[3 * step], d1);
  }

  template <class D, class V>
  static HWY_INLINE void result(D, V* v, int step) {
    const V even = hn::Add(v[step], v[2 * step]), odd = hn::Sub(v[step], v[2 * step]);
    v[0] = hn::Add(v[0], even);
    v[step] = hn::Add(odd, v[3 * step]);
  }

  template <class D, class V>
  static HWY_INLINE void gradient(D, V* v, int step) {
    const V y0 = v[0], y1 = v[step];
    v[step] = hn::Add(y0, y1);
    v[2 * step] = hn::Sub(y0, y1);
    v[3 * step] = y1;
  }

  template <class D, class V>
  static HWY_INLINE void window_gradient(D d, V* v, int step) {
    const V half = hn::Set(d, 0.5f);
    const V even = hn::Mul(half, hn::Add(v[step], v[2 * step]));
    const V odd = hn::Mul(half, hn::Sub(v[step], v[2 * step]));
    v[0] = hn::Add(v[0], even);
    v[step] = odd;
    v[2 * step] = hn::Add(even, v[3 * step]);
  }
};

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

// Winograd's transforms along one axis. Included once per instruction set.
#if defined(ESPALIER_WINOGRAD_AXIS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef ESPALIER_WINOGRAD_AXIS_INL
#undef ESPALIER_WINOGRAD_AXIS_INL
#else
#define ESPALIER_WINOGRAD_AXIS_INL
#endif

#include <hwy/highway.h>

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

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#endif

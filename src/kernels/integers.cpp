#include "kernels/integers.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/integers.cpp"
#include "kernels/simd.h"
//
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/quantise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

template <class T>
HWY_INLINE void widen_as(const T* x, int16_t zero, int16_t* y, int64_t n) {
  const hn::ScalableTag<int16_t> d;
  const hn::Rebind<T, decltype(d)> narrow;
  const auto zeros = hn::Set(d, zero);
  const int64_t lanes = int64_t(hn::Lanes(d));
  const auto at = [&](int64_t i) HWY_ATTR {
    hn::StoreU(hn::Sub(hn::PromoteTo(d, hn::LoadU(narrow, x + i)), zeros), d, y + i);
  };
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) at(i);
  if (i == n) return;
  if (n >= lanes) return at(n - lanes);
  for (; i < n; ++i) y[i] = int16_t(x[i] - zero);
}

void widen_all(const void* x, bool is_signed, int16_t zero, int16_t* y, int64_t n) {
  if (is_signed)
    widen_as(static_cast<const int8_t*>(x), zero, y, n);
  else
    widen_as(static_cast<const uint8_t*>(x), zero, y, n);
}

void narrow_all(const float* x, bool is_signed, void* y, size_t n) {
  if (is_signed)
    store_integers(x, 0.0f, static_cast<int8_t*>(y), n);
  else
    store_integers(x, 0.0f, static_cast<uint8_t*>(y), n);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::kernels {

HWY_EXPORT(widen_all);
HWY_EXPORT(narrow_all);

void widen(const void* x, DType type, int32_t zero, int16_t* y, int64_t n) {
  HWY_DYNAMIC_DISPATCH(widen_all)(x, type == DType::i8, int16_t(zero), y, n);
}

void narrow(const float* x, DType type, void* y, int64_t n) {
  HWY_DYNAMIC_DISPATCH(narrow_all)(x, type == DType::i8, y, size_t(n));
}

}  // namespace espalier::kernels
#endif

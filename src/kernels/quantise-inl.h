// f32 lanes stored as 8-bit integers. Included once per instruction set.
#if defined(ESPALIER_QUANTISE_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef ESPALIER_QUANTISE_INL
#undef ESPALIER_QUANTISE_INL
#else
#define ESPALIER_QUANTISE_INL
#endif

#include <cstring>

#include "kernels/quantise.h"
#include "kernels/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

/// y[i] = saturate(convert(x[i])), where `convert` gives integers.
template <class T, class Convert>
HWY_INLINE void store_as(const float* x, T* y, size_t n, Convert convert) {
  const DF d;
  const hn::Rebind<T, DF> dt;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes)
    hn::StoreU(hn::DemoteTo(dt, convert(d, hn::LoadU(d, x + i))), dt, y + i);
  if (i == n) return;
  HWY_ALIGN float in[HWY_MAX_BYTES / 4] = {};
  HWY_ALIGN T out[HWY_MAX_BYTES];
  std::memcpy(in, x + i, (n - i) * sizeof(float));
  hn::StoreU(hn::DemoteTo(dt, convert(d, hn::Load(d, in))), dt, out);
  std::memcpy(y + i, out, n - i);
}

/// Rounded, halves to even; `for_nan` where there is no number.
template <class T>
void store_integers(const float* x, float for_nan, T* y, size_t n) {
  store_as(x, y, n, [for_nan](DF d, VF v) HWY_ATTR {
    const VF low = hn::Set(d, -1024.0f), high = hn::Set(d, 1024.0f);
    const VF number = hn::IfThenElse(hn::Eq(v, v), v, hn::Set(d, for_nan));
    return hn::NearestInt(hn::Min(hn::Max(number, low), high));
  });
}

/// round(x / scale), halves to even, of numbers; up to 1024 either way. The reciprocal decides, but
/// where that leaves nearly half a step to the nearest integer, which hardly ever happens, the
/// quotient does.
HWY_INLINE VF rounded_quotient(DF d, VF x, float scale, float inverse) {
  const VF most = hn::Set(d, 1024.0f), large = hn::Set(d, 12582912.0f);
  const auto within = [&](VF v) HWY_ATTR { return hn::Min(hn::Max(v, hn::Neg(most)), most); };
  // Adding what is so large rounds to integers.
  const VF about = within(hn::Mul(x, hn::Set(d, inverse)));
  const VF nearest = hn::Sub(hn::Add(about, large), large);
  const auto sure = hn::Lt(hn::Abs(hn::Sub(about, nearest)), hn::Set(d, 0.4998f));
  if (HWY_LIKELY(hn::AllTrue(d, sure))) return nearest;
  return hn::Sub(hn::Add(within(hn::Div(x, hn::Set(d, scale))), large), large);
}

/// What is left of numbers that are stored so and read back.
HWY_INLINE VF read_back(DF d, VF x, const Quantised& q) {
  const float least = q.type == DType::u8 ? 0.0f : -128.0f, zero = float(q.zero_point);
  const VF number = hn::IfThenElseZero(hn::Eq(x, x), x);
  const VF step = rounded_quotient(d, number, q.scale, 1 / q.scale);
  const VF low = hn::Set(d, least - zero), high = hn::Set(d, least + 255.0f - zero);
  return hn::Mul(hn::Min(hn::Max(step, low), high), hn::Set(d, q.scale));
}

/// y[i] = (x[i] - zero point) scale
inline void load_quantised(const void* x, const Quantised& q, float* y, int64_t n) {
  const DF d;
  const VF scale = hn::Set(d, q.scale), zero = hn::Set(d, float(q.zero_point));
  const auto convert = [&](auto* from, auto load) HWY_ATTR {
    const int64_t lanes = int64_t(hn::Lanes(d));
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes)
      hn::StoreU(hn::Mul(hn::Sub(load(d, from + i), zero), scale), d, y + i);
    for (; i < n; ++i) y[i] = float(int(from[i]) - q.zero_point) * q.scale;
  };
  if (q.type == DType::u8)
    convert(static_cast<const uint8_t*>(x),
            [](DF d, const uint8_t* p) HWY_ATTR { return load_u8(d, p); });
  else
    convert(static_cast<const int8_t*>(x),
            [](DF d, const int8_t* p) HWY_ATTR { return load_i8(d, p); });
}

inline void store_quantised(const float* x, const Quantised& q, void* y, size_t n) {
  const float scale = q.scale, inverse = 1 / scale;
  // Whole numbers are the lowest bits of what they are added to.
  constexpr float kLarge = 12582912.0f;
  const int32_t offset = 0x4B400000 - q.zero_point;
  const auto convert = [=](DF d, VF v) HWY_ATTR {
    const hn::RebindToSigned<DF> di;
    const VF number = hn::IfThenElseZero(hn::Eq(v, v), v);
    const VF step = rounded_quotient(d, number, scale, inverse);
    return hn::Sub(hn::BitCast(di, hn::Add(step, hn::Set(d, kLarge))), hn::Set(di, offset));
  };
  if (q.type == DType::u8)
    store_as(x, static_cast<uint8_t*>(y), n, convert);
  else
    store_as(x, static_cast<int8_t*>(y), n, convert);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#endif

// Elementary functions on vectors of f32 that keep NaN and infinities, and conversions between f32
// lanes and narrower elements. Included once per instruction set.
#if defined(ESPALIER_SIMD_MATH_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef ESPALIER_SIMD_MATH_INL
#undef ESPALIER_SIMD_MATH_INL
#else
#define ESPALIER_SIMD_MATH_INL
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include "tensor/dtype.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;
using VU = hn::Vec<hn::RebindToUnsigned<DF>>;

// Highway's Ne is ordered: false for NaN. Eq is what tells.
HWY_INLINE VF keep_nan(VF x, VF y) { return hn::IfThenElse(hn::Eq(x, x), y, x); }

/// Between low and high; NaN stays NaN.
HWY_INLINE VF clamp_v(VF low, VF high, VF x) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_EMU128 && HWY_TARGET != HWY_SCALAR
  return hn::Min(high, hn::Max(low, x));  // of a number and NaN, these give the second
#else
  return keep_nan(x, hn::Min(high, hn::Max(low, x)));
#endif
}

HWY_INLINE VF exp_v(DF d, VF x) {
  const VF top = hn::Set(d, 88.72284f);
  const VF y = hn::Exp(d, hn::Min(x, top));
  const VF inf = hn::Set(d, std::numeric_limits<float>::infinity());
  return keep_nan(x, hn::IfThenElse(hn::Gt(x, top), inf, y));
}

// exp(x) for x <= 0, below 1.2e-7 of it away: x = n ln 2 + r, 2^n put into the exponent of a
// Chebyshev fit of exp(r). What is smaller than 2^-125 is 0.
HWY_INLINE VF exp_below_v(DF d, VF x) {
  const hn::RebindToSigned<DF> di;
  // So large that adding it rounds to integers, which its lowest bits hold.
  const VF least = hn::Set(d, -86.6f), large = hn::Set(d, 12582912.0f);
  const VF v = hn::Max(x, least);
  const VF rounded = hn::MulAdd(v, hn::Set(d, 1.44269504f), large), n = hn::Sub(rounded, large);
  VF r = hn::NegMulAdd(n, hn::Set(d, 0.693145751953125f), v);
  r = hn::NegMulAdd(n, hn::Set(d, 1.4286068202862268e-06f), r);
  VF p = hn::MulAdd(r, hn::Set(d, 0.0013926203361634337f), hn::Set(d, 0.008363194882419041f));
  for (float c : {0.0416665544984137f, 0.166665768946066f, 0.5f, 1.0f, 1.0f})
    p = hn::MulAdd(p, r, hn::Set(d, c));
  const auto power = hn::ShiftLeft<23>(hn::BitCast(di, rounded));
  const VF y = hn::BitCast(d, hn::Add(hn::BitCast(di, p), power));
  return keep_nan(x, hn::IfThenElseZero(hn::Ge(x, least), y));
}

HWY_INLINE VF log_v(DF d, VF x) {
  const VF zero = hn::Zero(d), inf = hn::Set(d, std::numeric_limits<float>::infinity());
  VF y = hn::Log(d, x);
  y = hn::IfThenElse(hn::Eq(x, zero), hn::Neg(inf), y);
  y = hn::IfThenElse(hn::Eq(x, inf), inf, y);
  return hn::IfThenElse(hn::Lt(x, zero), hn::Set(d, std::numeric_limits<float>::quiet_NaN()),
                        keep_nan(x, y));
}

HWY_INLINE VF log1p_v(DF d, VF x) { return keep_nan(x, hn::Log1p(d, x)); }

HWY_INLINE VF sigmoid_v(DF d, VF x) {
  const VF one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, exp_v(d, hn::Neg(x))));
}

HWY_INLINE VF tanh_v(DF d, VF x) {
  const VF limit = hn::Set(d, 15.0f);
  return keep_nan(x, hn::Tanh(d, hn::Min(hn::Max(x, hn::Neg(limit)), limit)));
}

// erf: x P(x^2) below 1, 1 - exp(-x^2) Q(1 / (1 + x / 2)) above; Chebyshev fits, error below 1e-7.
HWY_INLINE VF erf_v(DF d, VF x) {
  const VF a = hn::Min(hn::Abs(x), hn::Set(d, 4.2f)), s = hn::Mul(a, a), one = hn::Set(d, 1.0f);
  VF p = hn::Set(d, 7.882497448008507e-05f);
  for (float c : {-0.0008018855005502701f, 0.005189312156289816f, -0.02685432881116867f,
                  0.11283597350120544f, -0.3761262595653534f, 1.1283791065216064f})
    p = hn::MulAdd(p, s, hn::Set(d, c));
  const VF t = hn::Div(one, hn::MulAdd(a, hn::Set(d, 0.5f), one));
  VF q = hn::Set(d, 0.11925904452800751f);
  for (float c :
       {-0.47088178992271423f, 0.5627731084823608f, -0.10317263007164001f, 0.34756502509117126f,
        0.2597658038139343f, 0.28489822149276733f, -0.00015306480054277927f})
    q = hn::MulAdd(q, t, hn::Set(d, c));
  const VF large = hn::NegMulAdd(hn::Exp(d, hn::Neg(s)), q, one);
  const VF y = hn::IfThenElse(hn::Lt(a, one), hn::Mul(a, p), large);
  return keep_nan(x, hn::CopySign(y, x));
}

// 1/2 + x P(x^2) within `end` of zero, 0 or 1 beyond; P by its coefficients in 2 x^2 / end^2 - 1,
// the highest first.
HWY_INLINE VF sigmoidal_v(DF d, VF x, float end_at, std::initializer_list<float> coefficients) {
  const VF end = hn::Set(d, end_at), half = hn::Set(d, 0.5f), one = hn::Set(d, 1.0f);
  const VF v = hn::Min(hn::Max(x, hn::Neg(end)), end);
  const VF s = hn::MulSub(hn::Mul(v, v), hn::Set(d, 2 / (end_at * end_at)), one);
  VF p = hn::Zero(d);
  for (float c : coefficients) p = hn::MulAdd(p, s, hn::Set(d, c));
  const VF inside = hn::MulAdd(v, p, half);
  const VF outside = hn::IfThenElseZero(hn::Gt(x, hn::Zero(d)), one);
  return hn::IfThenElse(hn::Lt(hn::Abs(x), end), inside, outside);
}

// x Phi(x), Phi the normal distribution; a minimax fit, below 7e-7 away.
HWY_INLINE VF gelu_v(DF d, VF x) {
  return hn::Mul(
      x, sigmoidal_v(d, x, 5.2f,
                     {-0.00039828300941735506f, 0.001201933017000556f, -0.0014481233665719628f,
                      0.0019745936151593924f, -0.004556420259177685f, 0.00839096400886774f,
                      -0.012616471387445927f, 0.018028970807790756f, -0.02469867467880249f,
                      0.03197553753852844f, -0.039932094514369965f, 0.05002552270889282f,
                      -0.06774361431598663f, 0.1359499841928482f}));
}

// Phi(x) + x phi(x), phi the normal density; a minimax fit, below 6e-7 away.
HWY_INLINE VF gelu_slope_v(DF d, VF x) {
  const VF y = sigmoidal_v(
      d, x, 5.6f,
      {-0.006768317893147469f, 0.016234975308179855f, -0.00690727261826396f, 0.0018456167308613658f,
       -0.03215767443180084f, 0.05753006041049957f, -0.05588540434837341f, 0.060038771480321884f,
       -0.07216479629278183f, 0.07320109754800797f, -0.06518500298261642f, 0.056501105427742004f,
       -0.05094721540808678f, 0.05181610956788063f, -0.06428290158510208f, 0.12641657888889313f});
  return keep_nan(x, y);
}

// sqrt(2 / pi) (x + 0.044715 x^3), the argument of GELU's tanh form.
HWY_INLINE VF gelu_argument_v(DF d, VF x) {
  const VF square = hn::Mul(x, x);
  return hn::Mul(hn::Mul(hn::Set(d, 0.7978845608028654f), x),
                 hn::MulAdd(hn::Set(d, 0.044715f), square, hn::Set(d, 1.0f)));
}

HWY_INLINE VF gelu_tanh_v(DF d, VF x) {
  const VF sum = hn::Add(hn::Set(d, 1.0f), tanh_v(d, gelu_argument_v(d, x)));
  return hn::Mul(hn::Mul(hn::Set(d, 0.5f), x), sum);
}

// With t the tanh and u its argument: (1 + t) / 2 (1 + x (1 - t) u').
HWY_INLINE VF gelu_tanh_slope_v(DF d, VF x) {
  // Beyond, t is 1 or -1, and squares would overflow.
  const VF one = hn::Set(d, 1.0f), end = hn::Set(d, 12.0f);
  const VF v = hn::Min(hn::Max(x, hn::Neg(end)), end);
  const VF t = tanh_v(d, gelu_argument_v(d, v));
  const VF slope = hn::MulAdd(hn::Set(d, float(3 * 0.044715 * 0.7978845608028654)), hn::Mul(v, v),
                              hn::Set(d, 0.7978845608028654f));
  const VF bend = hn::MulAdd(hn::Mul(v, hn::Sub(one, t)), slope, one);
  return keep_nan(x, hn::Mul(hn::Mul(hn::Set(d, 0.5f), hn::Add(one, t)), bend));
}

// ---- conversions --------------------------------------------------------------------------------

HWY_INLINE VF load_bf16(DF d, const uint16_t* p) {
  const hn::RebindToUnsigned<DF> du;
  const hn::Rebind<uint16_t, DF> dh;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(dh, p))));
}

// As bf16 in the upper half of each lane, rounded to nearest even, the lower half undefined; NaN
// stays a quiet NaN.
HWY_INLINE VU upper_bf16(DF d, VF v) {
  const hn::RebindToUnsigned<DF> du;
  const auto u = hn::BitCast(du, v);
  const auto odd = hn::And(hn::ShiftRight<16>(u), hn::Set(du, 1u));
  const auto rounded = hn::Add(u, hn::Add(odd, hn::Set(du, 0x7FFFu)));
  const auto quiet = hn::Or(u, hn::Set(du, 0x400000u));
  const auto number = hn::RebindMask(du, hn::Eq(v, v));
  return hn::IfThenElse(number, rounded, quiet);
}

HWY_INLINE void store_bf16(DF d, VF v, uint16_t* p) {
  const hn::Rebind<uint16_t, DF> dh;
  const auto bits = hn::ShiftRight<16>(upper_bf16(d, v));
  hn::StoreU(hn::DemoteTo(dh, hn::BitCast(hn::RebindToSigned<DF>(), bits)), dh, p);
}

/// Lanes of memory of either type.
HWY_INLINE VF load_lanes(DF d, const float* p) { return hn::LoadU(d, p); }
HWY_INLINE VF load_lanes(DF d, const bfloat16* p) {
  return load_bf16(d, reinterpret_cast<const uint16_t*>(p));
}
HWY_INLINE void store_lanes(DF d, VF v, float* p) { hn::StoreU(v, d, p); }
HWY_INLINE void store_lanes(DF d, VF v, bfloat16* p) {
  store_bf16(d, v, reinterpret_cast<uint16_t*>(p));
}

HWY_INLINE VF load_u8(DF d, const uint8_t* p) {
  const hn::Rebind<uint8_t, DF> db;
  const hn::RebindToSigned<DF> di;
  return hn::ConvertTo(d, hn::PromoteTo(di, hn::LoadU(db, p)));
}
HWY_INLINE VF load_i8(DF d, const int8_t* p) {
  const hn::Rebind<int8_t, DF> db;
  const hn::RebindToSigned<DF> di;
  return hn::ConvertTo(d, hn::PromoteTo(di, hn::LoadU(db, p)));
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#endif

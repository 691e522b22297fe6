#include "kernels/float8.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/float8.cpp"
#include "kernels/simd.h"
//
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/simd_math-inl.h"

#ifndef ESPALIER_FLOAT8_RUN
#define ESPALIER_FLOAT8_RUN
namespace espalier::kernels {

/// What of a run decides how it is stored.
struct Float8Extremes {
  float most = 0;  ///< the largest magnitude; NaN where a number is not finite
  float least = std::numeric_limits<float>::infinity();  ///< the smallest above 0
};

}  // namespace espalier::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

using DU = hn::RebindToUnsigned<DF>;
using DB = hn::Rebind<uint8_t, DF>;

HWY_INLINE VF load(DF d, const float* p) { return hn::LoadU(d, p); }
HWY_INLINE VF load(DF d, const uint16_t* p) { return load_bf16(d, p); }
HWY_INLINE void store(DF d, VF v, float* p) { hn::StoreU(v, d, p); }
HWY_INLINE void store(DF d, VF v, uint16_t* p) { store_bf16(d, v, p); }

/// body(from, to, lanes) over whole vectors of `from` and `to`; the last one through copies that
/// are padded with zeros.
template <class From, class To, class Body>
HWY_INLINE void by_lanes(size_t n, const From* from, To* to, Body body) {
  const size_t lanes = hn::Lanes(DF());
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) body(from + i, to + i);
  if (i == n) return;
  HWY_ALIGN From in[HWY_MAX_BYTES / 4] = {};
  HWY_ALIGN To out[HWY_MAX_BYTES / 4] = {};
  std::memcpy(in, from + i, (n - i) * sizeof(From));
  body(in, out);
  std::memcpy(to + i, out, (n - i) * sizeof(To));
}

template <class T>
HWY_INLINE Float8Extremes extremes_of(size_t n, const T* x) {
  const DF d;
  const VF far = hn::Set(d, std::numeric_limits<float>::infinity());
  VF most = hn::Zero(d), least = far, odd = hn::Zero(d);
  const auto see = [&](const T* p) HWY_ATTR {
    const VF v = load(d, p), magnitude = hn::Abs(v);
    odd = hn::Add(odd, hn::Sub(v, v));  // NaN but for finite numbers
    most = hn::Max(most, magnitude);
    least = hn::Min(least, hn::IfThenElse(hn::Gt(magnitude, hn::Zero(d)), magnitude, far));
  };
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) see(x + i);
  if (i < n) {
    HWY_ALIGN T rest[HWY_MAX_BYTES / 4] = {};
    std::memcpy(rest, x + i, (n - i) * sizeof(T));
    see(rest);
  }
  Float8Extremes e;
  e.most = hn::GetLane(hn::MaxOfLanes(d, most)) + hn::GetLane(hn::SumOfLanes(d, odd));
  e.least = hn::GetLane(hn::MinOfLanes(d, least));
  return e;
}

/// The codes of numbers, in 32 bits; see Float8Format::encode.
HWY_INLINE hn::Vec<DU> codes_of(DF d, VF x, const Float8Format& f) {
  const DU du;
  const VF magnitude = hn::Min(hn::Abs(x), hn::Set(d, f.most));
  const VF line = hn::Set(d, f.least * 8388608.0f);
  const auto low = hn::Sub(hn::BitCast(du, hn::Add(magnitude, line)), hn::BitCast(du, line));
  const int dropped = 23 - f.mantissa;
  const auto bits = hn::Sub(hn::BitCast(du, magnitude), hn::Set(du, uint32_t(127 - f.bias) << 23));
  const auto odd = hn::And(hn::ShiftRightSame(bits, dropped), hn::Set(du, 1u));
  const auto half = hn::Set(du, (1u << (dropped - 1)) - 1);
  const auto high = hn::ShiftRightSame(hn::Add(bits, hn::Add(half, odd)), dropped);
  const auto below =
      hn::RebindMask(du, hn::Lt(magnitude, hn::Set(d, f.least * float(1 << f.mantissa))));
  const auto number = hn::RebindMask(du, hn::Eq(x, x));
  const auto code = hn::IfThenElse(number, hn::IfThenElse(below, low, high), hn::Set(du, 0x7Fu));
  return hn::Or(code, hn::And(hn::ShiftRight<24>(hn::BitCast(du, x)), hn::Set(du, 0x80u)));
}

/// What codes without infinities say; see Float8Format::decode.
HWY_INLINE VF numbers_of(DF d, const uint8_t* codes, const Float8Format& f) {
  const DU du;
  const auto code = hn::PromoteTo(du, hn::LoadU(DB(), codes));
  const auto magnitude = hn::And(code, hn::Set(du, 0x7Fu));
  const VF low = hn::Mul(hn::ConvertTo(d, hn::BitCast(hn::RebindToSigned<DF>(), magnitude)),
                         hn::Set(d, f.least));
  const VF high = hn::BitCast(d, hn::Add(hn::ShiftLeftSame(magnitude, 23 - f.mantissa),
                                         hn::Set(du, uint32_t(127 - f.bias) << 23)));
  const auto below = hn::RebindMask(d, hn::Lt(magnitude, hn::Set(du, uint32_t(1) << f.mantissa)));
  const auto none = hn::RebindMask(d, hn::Gt(magnitude, hn::Set(du, uint32_t(f.top))));
  const VF nan = hn::Set(d, std::numeric_limits<float>::quiet_NaN());
  const VF value = hn::IfThenElse(none, nan, hn::IfThenElse(below, low, high));
  const auto sign = hn::ShiftLeft<24>(hn::And(code, hn::Set(du, 0x80u)));
  return hn::BitCast(d, hn::Or(hn::BitCast(du, value), sign));
}

/// |x|^k with the sign of x, where 0 stays.
HWY_INLINE VF signed_power(DF d, VF x, VF k) {
  const VF magnitude = hn::Abs(x);
  const VF power = exp_v(d, hn::Mul(k, log_v(d, magnitude)));
  return hn::CopySign(hn::IfThenElseZero(hn::Gt(magnitude, hn::Zero(d)), power), x);
}

template <class T>
void store_run(size_t n, const Float8Groups& g, const T* x, const bfloat16* beside,
               uint8_t* codes) {
  const DF d;
  const Float8Format& f = *g.format;
  const float scale = float(beside[0]);
  if (scale == 0) return void(std::memset(codes, 0, n));
  const VF inverse = hn::Set(d, g.expand ? 1 / scale : f.most / scale);
  const VF k = hn::Set(d, g.expand ? float(beside[1]) : 1.0f), most = hn::Set(d, f.most);
  by_lanes(n, x, codes, [&](const T* from, uint8_t* to) HWY_ATTR {
    VF v = hn::Mul(load(d, from), inverse);
    if (g.expand) v = hn::Mul(signed_power(d, v, k), most);
    hn::StoreU(hn::DemoteTo(DB(), hn::BitCast(hn::RebindToSigned<DF>(), codes_of(d, v, f))), DB(),
               to);
  });
}

template <class T>
void load_run(size_t n, const Float8Groups& g, const uint8_t* codes, const bfloat16* beside, T* y) {
  const DF d;
  const Float8Format& f = *g.format;
  const float scale = float(beside[0]);
  const VF factor = hn::Set(d, g.expand ? scale : scale / f.most);
  const VF k = hn::Set(d, g.expand ? 1 / float(beside[1]) : 1.0f);
  const VF inverse = hn::Set(d, 1 / f.most);
  by_lanes(n, codes, y, [&](const uint8_t* from, T* to) HWY_ATTR {
    VF v = numbers_of(d, from, f);
    if (g.expand) v = signed_power(d, hn::Mul(v, inverse), k);
    store(d, hn::Mul(v, factor), to);
  });
}

Float8Extremes extremes(int64_t n, DType type, const void* x) {
  return type == DType::f32 ? extremes_of(size_t(n), static_cast<const float*>(x))
                            : extremes_of(size_t(n), static_cast<const uint16_t*>(x));
}

void store_one(int64_t n, const Float8Groups& g, DType type, const void* x, const bfloat16* beside,
               uint8_t* codes) {
  if (type == DType::f32)
    store_run(size_t(n), g, static_cast<const float*>(x), beside, codes);
  else
    store_run(size_t(n), g, static_cast<const uint16_t*>(x), beside, codes);
}

void load_one(int64_t n, const Float8Groups& g, const uint8_t* codes, const bfloat16* beside,
              DType type, void* y) {
  if (type == DType::f32)
    load_run(size_t(n), g, codes, beside, static_cast<float*>(y));
  else
    load_run(size_t(n), g, codes, beside, static_cast<uint16_t*>(y));
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <vector>

#include "base/threads.h"

namespace espalier::kernels {
HWY_EXPORT(extremes);
HWY_EXPORT(store_one);
HWY_EXPORT(load_one);

namespace {

constexpr int64_t kPart = 1 << 14;

void decide(const Float8Groups& g, const Float8Extremes& e, bfloat16* beside) {
  beside[0] = group_scale(e.most);
  if (g.expand) beside[1] = bfloat16(group_power(*g.format, e.least, float(beside[0])));
}

const char* at(const void* x, DType type, int64_t i) {
  return static_cast<const char*>(x) + i * int64_t(size_of(type));
}

/// The largest magnitude of all by those of parts (group scaling).
Float8Extremes extremes_of_all(int64_t n, DType type, const void* x) {
  std::vector<Float8Extremes> parts(size_t((n + kPart - 1) / kPart));
  parallel_chunks(int64_t(parts.size()), [&](int64_t p) {
    parts[size_t(p)] = HWY_DYNAMIC_DISPATCH(extremes)(std::min(kPart, n - p * kPart), type,
                                                      at(x, type, p * kPart));
  });
  Float8Extremes all;
  for (const Float8Extremes& e : parts) {
    if (!(e.most <= all.most)) all.most = e.most;
    if (std::isnan(all.most)) break;
    all.least = std::min(all.least, e.least);
  }
  return all;
}

/// body(begin, end, beside) for runs, or parts of the only run, that cover [0, n).
template <class Body>
void by_runs(int64_t n, const Float8Groups& g, Body body) {
  const int64_t run = g.run(n), count = g.count(n);
  if (count == 1) {
    parallel_for(n, kPart, [&](int64_t begin, int64_t end) { body(begin, end, int64_t{0}); });
    return;
  }
  parallel_for(count, std::max<int64_t>(1, kPart / run), [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i)
      body(i * run, std::min(n, (i + 1) * run), i * g.beside());
  });
}

}  // namespace

void store_float8(int64_t n, const Float8Groups& g, DType type, const void* x, uint8_t* codes,
                  bfloat16* beside) {
  const bool one = g.count(n) == 1;
  if (one) decide(g, extremes_of_all(n, type, x), beside);
  by_runs(n, g, [&](int64_t begin, int64_t end, int64_t b) {
    const void* from = at(x, type, begin);
    if (!one) decide(g, HWY_DYNAMIC_DISPATCH(extremes)(end - begin, type, from), beside + b);
    HWY_DYNAMIC_DISPATCH(store_one)(end - begin, g, type, from, beside + b, codes + begin);
  });
}

void load_float8(int64_t n, const Float8Groups& g, const uint8_t* codes, const bfloat16* beside,
                 DType type, void* y) {
  by_runs(n, g, [&](int64_t begin, int64_t end, int64_t b) {
    HWY_DYNAMIC_DISPATCH(load_one)
    (end - begin, g, codes + begin, beside + b, type,
     static_cast<char*>(y) + begin * int64_t(size_of(type)));
  });
}

}  // namespace espalier::kernels
#endif

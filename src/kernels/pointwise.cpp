// Evaluates pointwise chains; compiled once per instruction set.
#include "kernels/pointwise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/pointwise.cpp"
#include "kernels/simd.h"
//
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>
#include <cstring>

#include "kernels/pointwise_plan.h"
#include "kernels/quantise-inl.h"
#include "kernels/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels {
namespace HWY_NAMESPACE {
namespace {

using Plan = PointwiseKernel::Plan;

// ---- steps --------------------------------------------------------------------------------------

// The last partial vector goes through small buffers, so that no step needs masks.
template <class F>
HWY_INLINE void map1(const float* x, float* y, size_t n, F f) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(f(d, hn::LoadU(d, x + i)), d, y + i);
  if (i == n) return;
  HWY_ALIGN float in[HWY_MAX_BYTES / 4] = {}, out[HWY_MAX_BYTES / 4];
  std::memcpy(in, x + i, (n - i) * sizeof(float));
  hn::Store(f(d, hn::Load(d, in)), d, out);
  std::memcpy(y + i, out, (n - i) * sizeof(float));
}

template <class F>
HWY_INLINE void map2(const float* a, const float* b, float* y, size_t n, F f) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes)
    hn::StoreU(f(d, hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, y + i);
  if (i == n) return;
  HWY_ALIGN float ta[HWY_MAX_BYTES / 4] = {}, tb[HWY_MAX_BYTES / 4] = {}, out[HWY_MAX_BYTES / 4];
  std::memcpy(ta, a + i, (n - i) * sizeof(float));
  std::memcpy(tb, b + i, (n - i) * sizeof(float));
  hn::Store(f(d, hn::Load(d, ta), hn::Load(d, tb)), d, out);
  std::memcpy(y + i, out, (n - i) * sizeof(float));
}

void where(const float* c, const float* a, const float* b, float* y, size_t n) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto no = hn::Eq(hn::LoadU(d, c + i), hn::Zero(d));
    hn::StoreU(hn::IfThenElse(no, hn::LoadU(d, b + i), hn::LoadU(d, a + i)), d, y + i);
  }
  for (; i < n; ++i) y[i] = c[i] != 0 ? a[i] : b[i];
}

void unary(const ScalarOp& op, const float* x, float* y, size_t n) {
  const DF d0;
  const VF p0 = hn::Set(d0, op.p0), p1 = hn::Set(d0, op.p1);
  const VF zero = hn::Zero(d0), one = hn::Set(d0, 1.0f), half = hn::Set(d0, 0.5f);
#define ESP_MAP(expression) return map1(x, y, n, [&](DF d, VF v) HWY_ATTR { return expression; })
  switch (op.code) {
    case ScalarCode::kIdentity: ESP_MAP(v);
    case ScalarCode::kNeg: ESP_MAP(hn::Neg(v));
    case ScalarCode::kAbs: ESP_MAP(hn::Abs(v));
    case ScalarCode::kSqrt: ESP_MAP(hn::Sqrt(v));
    case ScalarCode::kReciprocal: ESP_MAP(hn::Div(one, v));
    case ScalarCode::kExp: ESP_MAP(exp_v(d, v));
    case ScalarCode::kLog: ESP_MAP(log_v(d, v));
    case ScalarCode::kErf: ESP_MAP(erf_v(d, v));
    case ScalarCode::kTanh: ESP_MAP(tanh_v(d, v));
    case ScalarCode::kSigmoid: ESP_MAP(sigmoid_v(d, v));
    case ScalarCode::kRelu: ESP_MAP(hn::IfThenElse(hn::Lt(v, zero), zero, v));
    case ScalarCode::kLeakyRelu: ESP_MAP(hn::IfThenElse(hn::Ge(v, zero), v, hn::Mul(p0, v)));
    case ScalarCode::kClip:
      return map1(x, y, n, [&](DF, VF v) HWY_ATTR {
        const VF raised = hn::IfThenElse(hn::Lt(v, p0), p0, v);
        return hn::IfThenElse(hn::Gt(raised, p1), p1, raised);
      });
    case ScalarCode::kHardSigmoid:
      return map1(x, y, n, [&](DF, VF v) HWY_ATTR {
        const VF s = hn::Add(hn::Mul(p0, v), p1);
        return keep_nan(v, hn::Min(hn::Max(s, zero), one));
      });
    case ScalarCode::kHardSwish:
      return map1(x, y, n, [&](DF d, VF v) HWY_ATTR {
        const VF s = hn::MulAdd(v, hn::Set(d, 1.0f / 6), half);
        return hn::Mul(v, hn::Min(hn::Max(s, zero), one));
      });
    case ScalarCode::kGelu: ESP_MAP(gelu_v(d, v));
    case ScalarCode::kGeluTanh: ESP_MAP(gelu_tanh_v(d, v));
    case ScalarCode::kGeluSlope: ESP_MAP(gelu_slope_v(d, v));
    case ScalarCode::kGeluTanhSlope: ESP_MAP(gelu_tanh_slope_v(d, v));
    case ScalarCode::kSoftplus:
      ESP_MAP(keep_nan(v, hn::Add(hn::Max(v, zero), log1p_v(d, exp_v(d, hn::Neg(hn::Abs(v)))))));
    case ScalarCode::kSilu: ESP_MAP(hn::Mul(v, sigmoid_v(d, v)));
    case ScalarCode::kFloor: ESP_MAP(hn::Floor(v));
    case ScalarCode::kCeil: ESP_MAP(hn::Ceil(v));
    case ScalarCode::kRound: ESP_MAP(hn::Round(v));
    case ScalarCode::kSign:
      return map1(x, y, n, [&](DF, VF v) HWY_ATTR {
        const VF positive = hn::IfThenElse(hn::Gt(v, zero), one, v);
        return hn::IfThenElse(hn::Lt(v, zero), hn::Neg(one), positive);
      });
    case ScalarCode::kElu:
      return map1(x, y, n, [&](DF d, VF v) HWY_ATTR {
        const VF below = hn::Mul(p0, hn::Expm1(d, hn::Min(v, zero)));
        return hn::IfThenElse(hn::Lt(v, zero), below, v);
      });
    case ScalarCode::kAffine: ESP_MAP(hn::Add(hn::Mul(p0, v), p1));
    case ScalarCode::kSin:
      for (size_t i = 0; i < n; ++i) y[i] = std::sin(x[i]);
      return;
    case ScalarCode::kCos:
      for (size_t i = 0; i < n; ++i) y[i] = std::cos(x[i]);
      return;
    default: break;
  }
#undef ESP_MAP
}

void power(const float* a, const float* b, float* y, size_t n) {
  // The exponent is nearly always one number.
  bool same = true;
  for (size_t i = 1; i < n && same; ++i) same = b[i] == b[0];
  if (same && n > 0 && b[0] == 2.0f)
    return map1(a, y, n, [](DF, VF v) HWY_ATTR { return hn::Mul(v, v); });
  for (size_t i = 0; i < n; ++i) y[i] = std::pow(a[i], b[i]);
}

void binary(ScalarCode code, const float* a, const float* b, float* y, size_t n) {
  const DF d0;
  const VF zero = hn::Zero(d0), one = hn::Set(d0, 1.0f);
#define ESP_MAP(expression) \
  return map2(a, b, y, n, [&](DF, VF u, VF v) HWY_ATTR { return expression; })
  switch (code) {
    case ScalarCode::kAdd: ESP_MAP(hn::Add(u, v));
    case ScalarCode::kSub: ESP_MAP(hn::Sub(u, v));
    case ScalarCode::kMul: ESP_MAP(hn::Mul(u, v));
    case ScalarCode::kDiv: ESP_MAP(hn::Div(u, v));
    case ScalarCode::kMin: ESP_MAP(keep_nan(u, hn::IfThenElse(hn::Gt(u, v), v, keep_nan(v, u))));
    case ScalarCode::kMax: ESP_MAP(keep_nan(u, hn::IfThenElse(hn::Lt(u, v), v, keep_nan(v, u))));
    case ScalarCode::kPRelu: ESP_MAP(hn::IfThenElse(hn::Lt(u, zero), hn::Mul(v, u), u));
    case ScalarCode::kEqual: ESP_MAP(hn::IfThenElseZero(hn::Eq(u, v), one));
    case ScalarCode::kLess: ESP_MAP(hn::IfThenElseZero(hn::Lt(u, v), one));
    case ScalarCode::kLessEqual: ESP_MAP(hn::IfThenElseZero(hn::Le(u, v), one));
    case ScalarCode::kGreater: ESP_MAP(hn::IfThenElseZero(hn::Gt(u, v), one));
    case ScalarCode::kGreaterEqual: ESP_MAP(hn::IfThenElseZero(hn::Ge(u, v), one));
    case ScalarCode::kPow: return power(a, b, y, n);
    default: break;
  }
#undef ESP_MAP
}

// ---- loading and storing ------------------------------------------------------------------------

template <class T, class Load>
HWY_INLINE void convert_in(const T* x, float* y, size_t n, Load load) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(load(d, x + i), d, y + i);
  if (i == n) return;
  T in[HWY_MAX_BYTES / 4] = {};
  HWY_ALIGN float out[HWY_MAX_BYTES / 4];
  std::memcpy(in, x + i, (n - i) * sizeof(T));
  hn::Store(load(d, in), d, out);
  std::memcpy(y + i, out, (n - i) * sizeof(float));
}

void load_row(DType type, const void* x, int64_t offset, float* y, size_t n) {
  switch (type) {
    case DType::f32:
      std::memcpy(y, static_cast<const float*>(x) + offset, n * sizeof(float));
      return;
    case DType::bf16:
      return convert_in(static_cast<const uint16_t*>(x) + offset, y, n,
                        [](DF d, const uint16_t* p) HWY_ATTR { return load_bf16(d, p); });
    case DType::boolean:
    case DType::u8:
      return convert_in(static_cast<const uint8_t*>(x) + offset, y, n,
                        [](DF d, const uint8_t* p) HWY_ATTR { return load_u8(d, p); });
    default:
      return convert_in(static_cast<const int8_t*>(x) + offset, y, n,
                        [](DF d, const int8_t* p) HWY_ATTR { return load_i8(d, p); });
  }
}

float load_one(DType type, const void* x, int64_t offset) {
  switch (type) {
    case DType::f32: return static_cast<const float*>(x)[offset];
    case DType::bf16: return float(static_cast<const bfloat16*>(x)[offset]);
    case DType::boolean:
    case DType::u8: return float(static_cast<const uint8_t*>(x)[offset]);
    default: return float(static_cast<const int8_t*>(x)[offset]);
  }
}

// Elements [begin, begin + n) of the shape, under the operand's strides.
void walk(const Plan& p, const Plan::Operand& o, const void* x, int64_t begin, int64_t n,
          float* y) {
  const size_t rank = p.shape.size();
  constexpr size_t kMaxRank = 16;
  int64_t index[kMaxRank] = {};
  int64_t offset = 0, rest = begin;
  for (size_t d = rank; d-- > 0;) {
    index[d] = rest % p.shape[d];
    rest /= p.shape[d];
    offset += index[d] * o.strides[d];
  }
  const int64_t step = o.strides[rank - 1];
  while (n > 0) {
    const int64_t run = std::min(n, p.shape[rank - 1] - index[rank - 1]);
    if (step == 1) {
      load_row(o.type, x, offset, y, size_t(run));
    } else if (step == 0) {
      const float v = load_one(o.type, x, offset);
      for (int64_t i = 0; i < run; ++i) y[i] = v;
    } else {
      for (int64_t i = 0; i < run; ++i) y[i] = load_one(o.type, x, offset + i * step);
    }
    y += run;
    n -= run;
    offset += run * step;
    index[rank - 1] += run;
    for (size_t d = rank - 1; d > 0 && index[d] == p.shape[d]; --d) {
      offset += o.strides[d - 1] - o.strides[d] * p.shape[d];
      index[d] = 0;
      ++index[d - 1];
    }
  }
}

void store_tile(const Plan::Store& s, const float* x, void* y, int64_t offset, size_t n) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  if (s.type == DType::f32) {
    std::memcpy(static_cast<float*>(y) + offset, x, n * sizeof(float));
  } else if (s.type == DType::bf16) {
    auto* out = static_cast<uint16_t*>(y) + offset;
    size_t i = 0;
    for (; i + lanes <= n; i += lanes) store_bf16(d, hn::LoadU(d, x + i), out + i);
    for (; i < n; ++i) out[i] = bfloat16(x[i]).bits;
  } else if (s.type == DType::u8) {
    store_integers(x, s.for_nan, static_cast<uint8_t*>(y) + offset, n);
  } else if (s.type == DType::i8) {
    store_integers(x, s.for_nan, static_cast<int8_t*>(y) + offset, n);
  } else {
    auto* out = static_cast<uint8_t*>(y) + offset;
    for (size_t i = 0; i < n; ++i) out[i] = x[i] != 0;
  }
}

// ---- rows ---------------------------------------------------------------------------------------

void unary_row(const ScalarOp& op, const float* x, float* y, size_t n) { unary(op, x, y, n); }

void add_scaled_row(const float* x, float scale, float* y, size_t n) {
  map2(x, y, y, n, [&](DF d, VF u, VF v) HWY_ATTR { return hn::MulAdd(hn::Set(d, scale), u, v); });
}

// ---- tiles --------------------------------------------------------------------------------------

void run_range(const Plan& p, const void* const* operands, void* const* results, int64_t begin,
               int64_t end, float* buffers) {
  const int64_t stride = (p.tile + 15) / 16 * 16;
  const auto buffer = [&](int slot) { return buffers + slot * stride; };
  for (size_t o = 0; o < p.operands.size(); ++o)
    if (p.operands[o].access == Plan::Access::kTile)
      walk(p, p.operands[o], operands[o], 0, std::min(p.tile, p.count), buffer(p.operands[o].slot));
  const int count = int(p.operands.size());
  for (int64_t at = begin; at < end; at += p.tile) {
    const int64_t n = std::min(p.tile, end - at);
    for (int o = 0; o < count; ++o) {
      const Plan::Operand& operand = p.operands[size_t(o)];
      if (operand.access == Plan::Access::kConvert)
        load_row(operand.type, operands[o], at, buffer(operand.slot), size_t(n));
      else if (operand.access == Plan::Access::kWalk)
        walk(p, operand, operands[o], at, n, buffer(operand.slot));
    }
    const auto value = [&](int v) -> const float* {
      if (v >= count) {
        const Plan::Step& s = p.steps[size_t(v - count)];
        return s.into_result >= 0 ? static_cast<float*>(results[s.into_result]) + at
                                  : buffer(s.slot);
      }
      const Plan::Operand& o = p.operands[size_t(v)];
      return o.access == Plan::Access::kDirect ? static_cast<const float*>(operands[v]) + at
                                               : buffer(o.slot);
    };
    for (const Plan::Step& s : p.steps) {
      float* y =
          s.into_result >= 0 ? static_cast<float*>(results[s.into_result]) + at : buffer(s.slot);
      switch (operands_of(s.op.code)) {
        case 1: unary(s.op, value(s.args[0]), y, size_t(n)); break;
        case 2: binary(s.op.code, value(s.args[0]), value(s.args[1]), y, size_t(n)); break;
        default: where(value(s.args[0]), value(s.args[1]), value(s.args[2]), y, size_t(n));
      }
    }
    for (size_t r = 0; r < p.results.size(); ++r)
      if (!p.results[r].direct)
        store_tile(p.results[r], value(p.results[r].value), results[r], at, size_t(n));
  }
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace espalier::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>

#include "base/threads.h"

namespace espalier::kernels {
HWY_EXPORT(run_range);
HWY_EXPORT(unary_row);
HWY_EXPORT(add_scaled_row);

void apply_scalar(const ScalarOp& op, const float* x, float* y, size_t n) {
  HWY_DYNAMIC_DISPATCH(unary_row)(op, x, y, n);
}

void add_scaled(const float* x, float scale, float* y, size_t n) {
  HWY_DYNAMIC_DISPATCH(add_scaled_row)(x, scale, y, n);
}

void PointwiseKernel::run(const void* const* operands, void* const* results) const {
  const Plan& p = *plan_;
  if (p.count == 0) return;
  const int64_t tiles = (p.count + p.tile - 1) / p.tile;
  // Below some ten thousand elements a second thread costs more than it brings.
  const int64_t grain = std::max<int64_t>(1, (1 << 14) / p.tile);
  const size_t floats = size_t(p.slots) * size_t((p.tile + 15) / 16 * 16);
  parallel_for(tiles, grain, [&](int64_t begin, int64_t end) {
    thread_local std::vector<float> buffers;
    if (buffers.size() < floats + 16) buffers.resize(floats + 16);
    auto* aligned = reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(buffers.data()) + 63) &
                                             ~uintptr_t{63});
    HWY_DYNAMIC_DISPATCH(run_range)
    (p, operands, results, begin * p.tile, std::min(p.count, end * p.tile), aligned);
  });
}

}  // namespace espalier::kernels
#endif

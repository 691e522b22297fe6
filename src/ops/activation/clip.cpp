// Clip, ONNX opset 13: y = min(max(x, lo), hi) with scalar operands lo and hi, each optional.
// Where lo > hi every result is hi; NaN stays NaN.
#include <limits>

#include "ops/arithmetic/integers.h"
#include "ops/common.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) {
  require_numeric(in, 0, 1);
  require_same_dtype(in, 0, in.size());
  for (size_t i : {1, 2})
    if (in.has(i)) require_rank(in, i, 0);
  return same_as_input(in);
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  if (r.is_real(0)) {
    const Real lo = r.has(1) ? r.real(1)[0] : -std::numeric_limits<Real>::infinity();
    const Real hi = r.has(2) ? r.real(2)[0] : std::numeric_limits<Real>::infinity();
    unary_loop(r, [&](Real x) {
      const Real raised = x < lo ? lo : x;
      return raised > hi ? hi : raised;
    });
    return;
  }
  const bool is_unsigned = is_unsigned_int(r.dtype(0));
  const auto key = [&](int64_t v) { return order_key(v, is_unsigned); };
  const auto x = r.ints(0);
  const auto y = r.out_ints(0);
  for (size_t i = 0; i < x.size(); ++i) {
    y[i] = x[i];
    if (r.has(1) && key(y[i]) < key(r.ints(1)[0])) y[i] = r.ints(1)[0];
    if (r.has(2) && key(y[i]) > key(r.ints(2)[0])) y[i] = r.ints(2)[0];
  }
}

/// dy where the result lies between its bounds, which are known and do not cross.
ValueId gradient_by_result(Builder& b, const Tape& t) {
  const ValueId zero = b.scalar(0, t.dy());
  ValueId dx = t.dy();
  if (t.has(1)) dx = b.where(b.greater(t.y(0), t.x(1)), dx, zero);
  if (t.has(2)) dx = b.where(b.less(t.y(0), t.x(2)), dx, zero);
  return dx;
}

// dy goes to x inside the bounds, else to the bound that x was moved to. At a bound it goes to
// neither (as of Relu at zero) where the bounds are known, so that x need not be kept, else to x.
Values gradient(const NoAttributes&, Builder& b, const Tape& t) {
  const bool known = (!t.has(1) || t.constant(1)) && (!t.has(2) || t.constant(2)),
             cross = t.has(1) && t.has(2) && known && t.constant(1)->at(0) > t.constant(2)->at(0);
  if (known && !cross && !t.wants(1) && !t.wants(2)) {
    Values d(t.inputs(), kNoValue);
    if (t.wants(0)) d[0] = gradient_by_result(b, t);
    return d;
  }
  const ValueId zero = b.scalar(0, t.dy());
  const ValueId below = t.has(1) ? b.less(t.x(0), t.x(1)) : kNoValue;
  ValueId dx = t.dy();
  Values d(t.inputs(), kNoValue);
  if (t.has(2)) {
    const ValueId raised = t.has(1) ? b.where(below, t.x(1), t.x(0)) : t.x(0);
    const ValueId above = b.greater(raised, t.x(2));
    if (t.wants(2)) d[2] = b.unbroadcast(b.where(above, dx, zero), t.x(2));
    dx = b.where(above, zero, dx);
  }
  if (t.has(1)) {
    if (t.wants(1)) d[1] = b.unbroadcast(b.where(below, dx, zero), t.x(1));
    dx = b.where(below, zero, dx);
  }
  if (t.wants(0)) d[0] = dx;
  return d;
}

Cost cost(const NoAttributes&, const TypesIn& in, const Types& out) { return map_cost(2, in, out); }

/// The bounds where they are known.
std::optional<std::pair<double, double>> bounds(const TypesIn& in) {
  double lo = -std::numeric_limits<double>::infinity(), hi = -lo;
  if (in.has(1)) {
    if (!in.constant(1)) return std::nullopt;
    lo = in.constant(1)->at(0);
  }
  if (in.has(2)) {
    if (!in.constant(2)) return std::nullopt;
    hi = in.constant(2)->at(0);
  }
  return std::pair(lo, hi);
}

AxisMap axes(const NoAttributes&, const TypesIn& in, const Types&) {
  const auto known = bounds(in);
  return AxisMap::identity(in, known && known->first <= 0 && known->second >= 0);
}

QuantForm quantize(const NoAttributes&, const TypesIn&) { return {.activations = {0}}; }

std::optional<ScalarOp> pointwise(const NoAttributes&, const TypesIn& in) {
  const auto known = bounds(in);
  if (!known) return std::nullopt;
  return ScalarOp{ScalarCode::kClip, float(known->first), float(known->second)};
}

void emit(const NoAttributes&, CWriter& c) {
  // The upper bound wins where bounds cross.
  const std::string low = c.has(1) ? "x0 < x1 ? x1 : x0" : "x0";
  if (!c.has(2)) return c.map(low);
  c.map("(" + low + ") > x2 ? x2 : " + low);
}

}  // namespace

const Room& clip() {
  const auto bound = [](auto v) { return OperandSpec::fixed(Tensor::scalar(v)); };
  static const Room room = make_room<NoAttributes>({
      .onnx = {"Clip", 13},
      .arity = {1, 3},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = quantize,
      .pointwise = pointwise,
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::of({3, 4}), bound(-0.5f), bound(0.5f)}},
                  {{}, {OperandSpec::of({3, 4}), bound(0.5f)}},
                  {{}, {OperandSpec::of({3, 4}), OperandSpec::omitted(), bound(0.5f)}},
                  {{}, {OperandSpec::of({4}), bound(0.5f), bound(-0.5f)}},
                  {{}, {OperandSpec::of({4})}},
                  {{}, {OperandSpec::of({0, 2}), bound(0.0f), bound(6.0f)}},
                  {{},
                   {OperandSpec::ranged({6}, -9, 9, DType::i32), bound(int32_t{-3}),
                    bound(int32_t{4})}}},
      .kinks = {-0.5, 0.5},
  });
  return room;
}

}  // namespace espalier::ops

// Div, ONNX opset 14: y = a / b with numpy broadcasting. Integers divide toward zero; by zero they
// give 0, and the smallest number by -1 wraps.
#include "ops/arithmetic/integers.h"
#include "ops/common.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) { return arithmetic_type(in); }

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  const bool is_unsigned = is_unsigned_int(r.dtype(0));
  binary_loop(r, [&](auto a, auto b) {
    if constexpr (std::is_floating_point_v<decltype(a)>)
      return a / b;
    else
      return quotient(a, b, is_unsigned);
  });
}

// da = dy / b, db = -dy y / b, each summed over broadcast axes.
Values gradient(const NoAttributes&, Builder& b, const Tape& t) {
  Values d(2, kNoValue);
  const ValueId da = b.div(t.dy(), t.x(1));
  if (t.wants(0)) d[0] = b.unbroadcast(da, t.x(0));
  if (t.wants(1)) d[1] = b.neg(b.unbroadcast(b.mul(da, t.y(0)), t.x(1)));
  return d;
}

Cost cost(const NoAttributes&, const TypesIn& in, const Types& out) { return map_cost(4, in, out); }

AxisMap axes(const NoAttributes&, const TypesIn& in, const Types& out) {
  return AxisMap::broadcast(in, out[0].tensor(), AxisMap::Zero::kIfFirst);
}

ScalarOp pointwise(const NoAttributes&, const TypesIn&) { return {ScalarCode::kDiv}; }

}  // namespace

const Room& div() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"Div", 14},
      .arity = {2, 2},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = Refuse{"its range is too wide for 8 bits"},
      .pointwise = pointwise,
      .expand = no_expand(),
      .emit = Derive{},
      .samples = {{{}, {OperandSpec::of({2, 3}), OperandSpec::ranged({2, 3}, 0.5, 2)}},
                  {{}, {OperandSpec::of({2, 1, 4}), OperandSpec::ranged({3, 1}, -2, -0.5)}},
                  {{}, {OperandSpec::of({0, 3}), OperandSpec::ranged({}, 0.5, 2)}},
                  {{}, {OperandSpec::of({}), OperandSpec::ranged({3}, 0.5, 2)}},
                  {{},
                   {OperandSpec::ranged({9}, -9, 9, DType::i32),
                    OperandSpec::ranged({9}, -2, 2, DType::i32)}}},
  });
  return room;
}

}  // namespace espalier::ops

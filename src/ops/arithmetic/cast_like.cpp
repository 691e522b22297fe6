// CastLike, ONNX opset 15: operand 0 in the element type of operand 1, as Cast gives it.
#include "ops/common.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) {
  return {TensorType(in[1].dtype, in[0].dims)};
}

// Rounding is taken for the identity, as in Cast.
Values gradient(const NoAttributes&, Builder& b, const Tape& t) {
  if (!t.wants(0) || t.dy() == kNoValue) return {kNoValue, kNoValue};
  return {b.cast(t.dy(), t.type_x(0).dtype), kNoValue};
}

Cost cost(const NoAttributes&, const TypesIn& in, const Types& out) { return move_cost(in, out); }

// No string is zero.
AxisMap axes(const NoAttributes&, const TypesIn& in, const Types&) {
  return AxisMap::identity(in, in[0].dtype != DType::string && in[1].dtype != DType::string);
}

Values expand(const NoAttributes&, Builder& b, const Values& x) {
  return {b.cast(x[0], b.type(x[1]).dtype)};
}

}  // namespace

const Room& cast_like() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"CastLike", 15},
      .arity = {2, 2},
      .infer = infer,
      .reference = Derive{},
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = Refuse{"it names the element type of its result"},
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = Derive{},
      .samples =
          {{{}, {OperandSpec::of({2, 3}), OperandSpec::of({1}, DType::f64)}},
           {{}, {OperandSpec::ranged({2, 3}, -9, 9), OperandSpec::ranged({2}, 0, 1, DType::i32)}},
           {{}, {OperandSpec::of({0, 3}), OperandSpec::of({2})}}},
  });
  return room;
}

}  // namespace espalier::ops

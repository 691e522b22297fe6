// Sum, ONNX opset 13: the sum of any number of operands with numpy broadcasting, left to right.
#include "ops/common.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) { return arithmetic_type(in); }

Values gradient(const NoAttributes&, Builder& b, const Tape& t) {
  Values d(t.inputs(), kNoValue);
  for (size_t i = 0; i < d.size(); ++i)
    if (t.wants(i)) d[i] = b.unbroadcast(t.dy(), t.x(i));
  return d;
}

Cost cost(const NoAttributes&, const TypesIn& in, const Types& out) {
  return map_cost(double(in.size()) - 1, in, out);
}

AxisMap axes(const NoAttributes&, const TypesIn& in, const Types& out) {
  return AxisMap::broadcast(in, out[0].tensor(), AxisMap::Zero::kIfAll);
}

QuantForm quantize(const NoAttributes&, const TypesIn& in) {
  QuantForm form;
  for (size_t i = 0; i < in.size(); ++i) form.activations.push_back(int(i));
  return form;
}

std::optional<ScalarOp> pointwise(const NoAttributes&, const TypesIn& in) {
  if (in.size() > 2) return std::nullopt;
  return ScalarOp{in.size() == 2 ? ScalarCode::kAdd : ScalarCode::kIdentity};
}

Values expand(const NoAttributes&, Builder& b, const Values& x) {
  ValueId sum = x[0];
  for (size_t i = 1; i < x.size(); ++i) sum = b.add(sum, x[i]);
  return {sum};
}

}  // namespace

const Room& sum() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"Sum", 13},
      .arity = {1, kVariadic},
      .infer = infer,
      .reference = Derive{},
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = quantize,
      .pointwise = pointwise,
      .expand = expand,
      .emit = Derive{},
      .samples = {{{}, {OperandSpec::of({2, 3}), OperandSpec::of({2, 3})}},
                  {{}, {OperandSpec::of({2, 1, 4}), OperandSpec::of({3, 1}), OperandSpec::of({})}},
                  {{}, {OperandSpec::of({3})}},
                  {{}, {OperandSpec::of({0, 3}), OperandSpec::of({3})}}},
  });
  return room;
}

}  // namespace espalier::ops

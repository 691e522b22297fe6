// Mean, ONNX opset 13: the mean of any number of float operands with numpy broadcasting.
#include "ops/common.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) {
  require_float(in, 0);
  return arithmetic_type(in);
}

// Each operand gets dy / n, summed over broadcast axes.
Values gradient(const NoAttributes&, Builder& b, const Tape& t) {
  Values d(t.inputs(), kNoValue);
  const ValueId share = b.mul(t.dy(), 1.0 / double(d.size()));
  for (size_t i = 0; i < d.size(); ++i)
    if (t.wants(i)) d[i] = b.unbroadcast(share, t.x(i));
  return d;
}

Cost cost(const NoAttributes&, const TypesIn& in, const Types& out) {
  return map_cost(double(in.size()), in, out);
}

AxisMap axes(const NoAttributes&, const TypesIn& in, const Types& out) {
  return AxisMap::broadcast(in, out[0].tensor(), AxisMap::Zero::kIfAll);
}

Values expand(const NoAttributes&, Builder& b, const Values& x) {
  ValueId sum = x[0];
  for (size_t i = 1; i < x.size(); ++i) sum = b.add(sum, x[i]);
  return {b.div(sum, b.scalar(double(x.size()), sum))};
}

}  // namespace

const Room& mean() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"Mean", 13},
      .arity = {1, kVariadic},
      .infer = infer,
      .reference = Derive{},
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = Derive{},
      .pointwise = not_pointwise(),
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

// PRelu, ONNX opset 16: y = x if x >= 0, else slope x; the slope broadcasts to x.
#include "ops/common.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) {
  require_float(in, 0);
  require_same_dtype(in, 0, 2);
  if (in[1].rank() > in[0].rank()) in.fail("the slope " + to_string(in[1]) + " does not fit x");
  const Dims dims = broadcast_dims(in);
  for (size_t i = 0; i < dims.size(); ++i)
    if (in[0].dims[i].known() && !(dims[i] == in[0].dims[i]))
      in.fail("the slope " + to_string(in[1]) + " does not broadcast to x " + to_string(in[0]));
  return same_as_input(in);
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  binary_loop(r, [](auto x, auto slope) { return x < 0 ? slope * x : x; });
}

// Below 0: dx = dy slope, dslope = dy x; elsewhere dx = dy, dslope = 0.
Values gradient(const NoAttributes&, Builder& b, const Tape& t) {
  const ValueId x = t.x(0), slope = t.x(1), zero = b.scalar(0, x);
  const ValueId below = b.less(x, zero);
  Values d(2, kNoValue);
  if (t.wants(0)) d[0] = b.where(below, b.mul(t.dy(), slope), t.dy());
  if (t.wants(1)) d[1] = b.unbroadcast(b.where(below, b.mul(t.dy(), x), zero), slope);
  return d;
}

Cost cost(const NoAttributes&, const TypesIn& in, const Types& out) { return map_cost(2, in, out); }

// A zero of x is a zero of y.
AxisMap axes(const NoAttributes&, const TypesIn& in, const Types& out) {
  return AxisMap::broadcast(in, out[0].tensor(), AxisMap::Zero::kIfAny);
}

ScalarOp pointwise(const NoAttributes&, const TypesIn&) { return {ScalarCode::kPRelu}; }

}  // namespace

const Room& p_relu() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"PRelu", 16},
      .arity = {2, 2},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = Refuse{"slopes of either sign and any size have no 8-bit form here"},
      .pointwise = pointwise,
      .expand = no_expand(),
      .emit = Derive{},
      .samples = {{{}, {OperandSpec::of({2, 3}), OperandSpec::of({2, 3})}},
                  {{}, {OperandSpec::of({2, 3, 4}), OperandSpec::of({3, 1})}},
                  {{}, {OperandSpec::of({0, 3}), OperandSpec::of({3})}},
                  {{}, {OperandSpec::of({4}), OperandSpec::of({})}}},
      .kinks = {0},
  });
  return room;
}

}  // namespace espalier::ops

// espalier.StopGradient(x) -> y: the operand itself, through which no gradient goes: what reads y
// teaches nothing to what computes x. In a network that answers it is Identity.
#include "ops/common.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) {
  require_float(in, 0);
  return same_as_input(in);
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  r.give(0, r.datum(0));
}

Values gradient(const NoAttributes&, Builder&, const Tape&) { return {kNoValue}; }

Cost cost(const NoAttributes&, const TypesIn&, const Types&) { return {}; }

AxisMap axes(const NoAttributes&, const TypesIn& in, const Types&) { return AxisMap::identity(in); }

ScalarOp pointwise(const NoAttributes&, const TypesIn&) { return {ScalarCode::kIdentity}; }

Values expand(const NoAttributes&, Builder& b, const Values& in) {
  return {b.one("Identity", {in[0]})};
}

}  // namespace

const Room& stop_gradient() {
  // Central differences see a gradient, which is what is stopped: operands of samples are fixed.
  static const Room room = make_room<NoAttributes>({
      .onnx = {"StopGradient", 1, "espalier"},
      .arity = {1, 1},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = pointwise,
      .expand = expand,
      .emit = Derive{},
      .samples = {{{}, {OperandSpec::fixed(Tensor::from<float>({2, 2}, {1, -2, 0, 3}))}},
                  {{}, {OperandSpec::fixed(Tensor::from<float>({1}, {0.5f}))}}},
  });
  return room;
}

}  // namespace espalier::ops

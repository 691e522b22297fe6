// HardSigmoid, ONNX opset 6: y = max(0, min(1, alpha x + beta)).
#include "ops/common.h"

namespace espalier::ops {
namespace {

struct HardSigmoid {
  float alpha = 0.2f;
  float beta = 0.5f;
};

Types infer(const HardSigmoid&, const TypesIn& in) {
  require_float(in, 0);
  return same_as_input(in);
}

template <class Real>
void reference(const HardSigmoid& a, Ref<Real>& r) {
  unary_loop(
      r, [&](Real x) { return std::clamp(Real(a.alpha) * x + Real(a.beta), Real(0), Real(1)); });
}

// dx = dy alpha where 0 < y < 1, else 0.
Values gradient(const HardSigmoid& a, Builder& b, const Tape& t) {
  const ValueId y = t.y(0), zero = b.scalar(0, y);
  const ValueId slope = b.mul(t.dy(), a.alpha);
  const ValueId below_one = b.where(b.less(y, b.scalar(1, y)), slope, zero);
  return {b.where(b.greater(y, zero), below_one, zero)};
}

Cost cost(const HardSigmoid&, const TypesIn& in, const Types& out) { return map_cost(4, in, out); }

AxisMap axes(const HardSigmoid& a, const TypesIn& in, const Types&) {
  return AxisMap::identity(in, a.beta <= 0);
}

QuantForm quantize(const HardSigmoid&, const TypesIn&) { return {.activations = {0}}; }

ScalarOp pointwise(const HardSigmoid& a, const TypesIn&) {
  return {ScalarCode::kHardSigmoid, a.alpha, a.beta};
}

}  // namespace

const Room& hard_sigmoid() {
  static const Room room = make_room<HardSigmoid>({
      .onnx = {"HardSigmoid", 6},
      .arity = {1, 1},
      .attributes = {{"alpha", &HardSigmoid::alpha}, {"beta", &HardSigmoid::beta}},
      .infer = infer,
      .reference = ESP_REFERENCE(HardSigmoid, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = quantize,
      .pointwise = pointwise,
      .expand = no_expand(),
      .emit = Derive{},
      .samples = {{{}, {OperandSpec::ranged({2, 3}, -4, 4)}},
                  {{}, {OperandSpec::ranged({0, 3}, -4, 4)}},
                  {{0.5f, 0.0f}, {OperandSpec::ranged({7}, -4, 4)}}},
      .kinks = {-2.5, 0, 2, 2.5},
  });
  return room;
}

}  // namespace espalier::ops

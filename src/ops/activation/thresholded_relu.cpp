// ThresholdedRelu, ONNX opset 10: y = x if x > alpha, else 0.
#include "ops/common.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

struct ThresholdedRelu {
  float alpha = 1;
};

Types infer(const ThresholdedRelu&, const TypesIn& in) {
  require_float(in, 0);
  return same_as_input(in);
}

template <class Real>
void reference(const ThresholdedRelu& a, Ref<Real>& r) {
  unary_loop(r, [&](Real x) { return x > Real(a.alpha) ? x : Real(0); });
}

// dx = x > alpha ? dy : 0.
Values gradient(const ThresholdedRelu& a, Builder& b, const Tape& t) {
  const ValueId x = t.x(0);
  return {b.where(b.greater(x, b.scalar(a.alpha, x)), t.dy(), b.scalar(0, x))};
}

Cost cost(const ThresholdedRelu&, const TypesIn& in, const Types& out) {
  return map_cost(1, in, out);
}

AxisMap axes(const ThresholdedRelu&, const TypesIn& in, const Types&) {
  return AxisMap::identity(in);
}

QuantForm quantize(const ThresholdedRelu&, const TypesIn&) { return {.activations = {0}}; }

void emit(const ThresholdedRelu& a, CWriter& c) {
  c.map("x0 > " + c_literal(double(a.alpha), c.dtype(0)) + " ? x0 : 0");
}

}  // namespace

const Room& thresholded_relu() {
  static const Room room = make_room<ThresholdedRelu>({
      .onnx = {"ThresholdedRelu", 10},
      .arity = {1, 1},
      .attributes = {{"alpha", &ThresholdedRelu::alpha}},
      .infer = infer,
      .reference = ESP_REFERENCE(ThresholdedRelu, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = quantize,
      .pointwise = Refuse{"no fused kernel evaluates it"},
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::ranged({2, 3}, -4, 4)}},
                  {{}, {OperandSpec::ranged({0, 3}, -4, 4)}},
                  {{-0.5f}, {OperandSpec::ranged({7}, -4, 4)}}},
      .kinks = {-0.5, 1},
  });
  return room;
}

}  // namespace espalier::ops

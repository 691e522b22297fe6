// LeakyRelu, ONNX opset 16: y = x if x >= 0, else alpha * x.
// Piecewise linear; the only kink is x = 0.
#include "ops/common.h"

namespace espalier::ops {
namespace {

struct LeakyRelu {
  float alpha = 0.01f;
};

Types infer(const LeakyRelu&, const TypesIn& in) {
  require_float(in, 0);
  return same_as_input(in);
}

template <class Real>
void reference(const LeakyRelu& a, Ref<Real>& r) {
  unary_loop(r, [&](Real x) { return x >= 0 ? x : Real(a.alpha) * x; });
}

// dx = dy * (x < 0 ? alpha : 1); the right derivative at the kink.
Values gradient(const LeakyRelu& a, Builder& b, const Tape& t) {
  const ValueId x = t.x(0);
  return {b.where(b.less(x, b.scalar(0, x)), b.mul(t.dy(), a.alpha), t.dy())};
}

Cost cost(const LeakyRelu&, const TypesIn& in, const Types& out) { return map_cost(2, in, out); }

AxisMap axes(const LeakyRelu&, const TypesIn& in, const Types&) { return AxisMap::identity(in); }

QuantForm quantize(const LeakyRelu&, const TypesIn&) { return {.activations = {0}}; }

ScalarOp pointwise(const LeakyRelu& a, const TypesIn&) { return {ScalarCode::kLeakyRelu, a.alpha}; }

}  // namespace

const Room& leaky_relu() {
  static const Room room = make_room<LeakyRelu>({
      .onnx = {"LeakyRelu", 16},
      .arity = {1, 1},
      .attributes = {{"alpha", &LeakyRelu::alpha}},
      .infer = infer,
      .reference = ESP_REFERENCE(LeakyRelu, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = quantize,
      .pointwise = pointwise,
      .expand = no_expand(),
      .emit = Derive{},
      .samples = {{{}, {OperandSpec::of({2, 3})}},
                  {{}, {OperandSpec::of({0, 3})}},
                  {{-1.0f}, {OperandSpec::of({4})}}},
      .kinks = {0},
  });
  return room;
}

}  // namespace espalier::ops

// Selu, ONNX opset 6: y = gamma x if x > 0, else gamma alpha (e^x - 1).
#include <cmath>

#include "ops/common.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

struct Selu {
  float alpha = 1.67326319217681884765625f;
  float gamma = 1.05070102214813232421875f;
};

Types infer(const Selu&, const TypesIn& in) {
  require_float(in, 0);
  return same_as_input(in);
}

template <class Real>
void reference(const Selu& a, Ref<Real>& r) {
  const Real alpha = Real(a.alpha), gamma = Real(a.gamma);
  unary_loop(r, [&](Real x) { return gamma * (x > 0 ? x : alpha * std::expm1(x)); });
}

// dx = dy gamma above 0, dy (y + gamma alpha) below.
Values gradient(const Selu& a, Builder& b, const Tape& t) {
  const ValueId x = t.x(0);
  const ValueId below = b.add(t.y(0), double(a.gamma) * double(a.alpha));
  return {b.mul(t.dy(), b.where(b.greater(x, b.scalar(0, x)), b.scalar(a.gamma, x), below))};
}

Cost cost(const Selu&, const TypesIn& in, const Types& out) { return map_cost(13, in, out); }

AxisMap axes(const Selu&, const TypesIn& in, const Types&) { return AxisMap::identity(in); }

QuantForm quantize(const Selu&, const TypesIn&) { return {.activations = {0}}; }

void emit(const Selu& a, CWriter& c) {
  const std::string alpha = c_literal(double(a.alpha), c.dtype(0));
  c.map(c_literal(double(a.gamma), c.dtype(0)) + " * (x0 > 0 ? x0 : " + alpha + " * expm1~(x0))");
}

}  // namespace

const Room& selu() {
  static const Room room = make_room<Selu>({
      .onnx = {"Selu", 6},
      .arity = {1, 1},
      .attributes = {{"alpha", &Selu::alpha}, {"gamma", &Selu::gamma}},
      .infer = infer,
      .reference = ESP_REFERENCE(Selu, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = quantize,
      .pointwise = Refuse{"no fused kernel evaluates it"},
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::ranged({2, 3}, -4, 4)}},
                  {{}, {OperandSpec::ranged({0, 3}, -4, 4)}},
                  {{2.0f, 3.0f}, {OperandSpec::ranged({7}, -4, 4)}}},
      .kinks = {0},
  });
  return room;
}

}  // namespace espalier::ops

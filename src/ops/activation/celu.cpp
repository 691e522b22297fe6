// Celu, ONNX opset 12: y = max(0, x) + min(0, alpha (e^(x / alpha) - 1)).
#include <cmath>

#include "ops/common.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

struct Celu {
  float alpha = 1;
};

Types infer(const Celu&, const TypesIn& in) {
  require_float(in, 0);
  return same_as_input(in);
}

template <class Real>
void reference(const Celu& a, Ref<Real>& r) {
  const Real alpha = Real(a.alpha);
  unary_loop(r, [&](Real x) {
    return std::max(x, Real(0)) + std::min(Real(0), alpha * std::expm1(x / alpha));
  });
}

// dx = dy e^(x / alpha) below 0, dy above (alpha > 0).
Values gradient(const Celu& a, Builder& b, const Tape& t) {
  const ValueId x = t.x(0);
  const ValueId below = b.mul(t.dy(), b.exp(b.mul(x, 1.0 / double(a.alpha))));
  return {b.where(b.less(x, b.scalar(0, x)), below, t.dy())};
}

Cost cost(const Celu&, const TypesIn& in, const Types& out) { return map_cost(14, in, out); }

AxisMap axes(const Celu&, const TypesIn& in, const Types&) { return AxisMap::identity(in); }

QuantForm quantize(const Celu&, const TypesIn&) { return {.activations = {0}}; }

void emit(const Celu& a, CWriter& c) {
  const std::string alpha = c_literal(double(a.alpha), c.dtype(0));
  c.map("fmax~(x0, 0.0~) + fmin~(0.0~, " + alpha + " * expm1~(x0 / " + alpha + "))");
}

}  // namespace

const Room& celu() {
  static const Room room = make_room<Celu>({
      .onnx = {"Celu", 12},
      .arity = {1, 1},
      .attributes = {{"alpha", &Celu::alpha}},
      .infer = infer,
      .reference = ESP_REFERENCE(Celu, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = quantize,
      .pointwise = Refuse{"no fused kernel evaluates it"},
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::ranged({2, 3}, -4, 4)}},
                  {{}, {OperandSpec::ranged({0, 3}, -4, 4)}},
                  {{2.0f}, {OperandSpec::ranged({7}, -4, 4)}}},
      .kinks = {},
  });
  return room;
}

}  // namespace espalier::ops

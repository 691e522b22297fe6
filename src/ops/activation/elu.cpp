// Elu, ONNX opset 6: y = x if x >= 0, else alpha (e^x - 1).
#include <cmath>

#include "ops/common.h"

namespace espalier::ops {
namespace {

struct Elu {
  float alpha = 1;
};

Types infer(const Elu&, const TypesIn& in) {
  require_float(in, 0);
  return same_as_input(in);
}

template <class Real>
void reference(const Elu& a, Ref<Real>& r) {
  unary_loop(r, [&](Real x) { return x >= 0 ? x : Real(a.alpha) * std::expm1(x); });
}

// dx = dy (y + alpha) below 0, dy above.
Values gradient(const Elu& a, Builder& b, const Tape& t) {
  const ValueId below = b.mul(t.dy(), b.add(t.y(0), a.alpha));
  return {b.where(b.less(t.x(0), b.scalar(0, t.x(0))), below, t.dy())};
}

Cost cost(const Elu&, const TypesIn& in, const Types& out) { return map_cost(12, in, out); }

AxisMap axes(const Elu&, const TypesIn& in, const Types&) { return AxisMap::identity(in); }

QuantForm quantize(const Elu&, const TypesIn&) { return {.activations = {0}}; }

ScalarOp pointwise(const Elu& a, const TypesIn&) { return {ScalarCode::kElu, a.alpha}; }

}  // namespace

const Room& elu() {
  static const Room room = make_room<Elu>({
      .onnx = {"Elu", 6},
      .arity = {1, 1},
      .attributes = {{"alpha", &Elu::alpha}},
      .infer = infer,
      .reference = ESP_REFERENCE(Elu, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = quantize,
      .pointwise = pointwise,
      .expand = no_expand(),
      .emit = Derive{},
      .samples = {{{}, {OperandSpec::ranged({2, 3}, -4, 4)}},
                  {{}, {OperandSpec::ranged({0, 3}, -4, 4)}},
                  {{-0.5f}, {OperandSpec::ranged({7}, -4, 4)}}},
      .kinks = {0},
  });
  return room;
}

}  // namespace espalier::ops

// Gelu, ONNX opset 20: y = x Phi(x) with Phi the standard normal distribution; with approximate =
// "tanh" y = x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2 (Hendrycks and Gimpel, arXiv
// 1606.08415).
#include "ops/activation/gelu.h"

namespace espalier::ops {
namespace {

template <class Real>
void reference(const Gelu& a, Ref<Real>& r) {
  if (a.approximate == "tanh")
    unary_loop(r, [](Real x) {
      return x / 2 * (1 + std::tanh(Real(kGeluScale) * (x + Real(kGeluCubic) * x * x * x)));
    });
  else
    unary_loop(r, [](Real x) { return x / 2 * (1 + std::erf(x / std::numbers::sqrt2_v<Real>)); });
}

Values gradient(const Gelu& a, Builder& b, const Tape& t) {
  const ValueId slope = b.one("espalier.GeluSlope", {t.x(0)}, {{"approximate", a.approximate}});
  return {b.mul(t.dy(), slope)};
}

Values expand(const Gelu& a, Builder& b, const Values& in) {
  const ValueId x = in[0], half = b.mul(x, 0.5);
  if (a.approximate != "tanh")
    return {b.mul(half, b.add(b.one("Erf", {b.mul(x, 1 / std::numbers::sqrt2)}), 1.0))};
  const ValueId u = b.mul(b.mul(x, b.add(b.mul(b.mul(x, x), kGeluCubic), 1.0)), kGeluScale);
  return {b.mul(half, b.add(b.one("Tanh", {u}), 1.0))};
}

Cost cost(const Gelu&, const TypesIn& in, const Types& out) { return map_cost(18, in, out); }

AxisMap axes(const Gelu&, const TypesIn& in, const Types&) { return AxisMap::identity(in); }

QuantForm quantize(const Gelu&, const TypesIn&) { return {.activations = {0}}; }

ScalarOp pointwise(const Gelu& a, const TypesIn&) {
  return {a.approximate == "tanh" ? ScalarCode::kGeluTanh : ScalarCode::kGelu};
}

}  // namespace

Types infer_gelu(const Gelu& a, const TypesIn& in) {
  require_float(in, 0);
  if (a.approximate != "none" && a.approximate != "tanh")
    in.fail("approximate is '" + a.approximate + "'", "'none' or 'tanh' are defined");
  return same_as_input(in);
}

std::vector<SampleOf<Gelu>> gelu_samples() {
  return {{{}, {OperandSpec::ranged({3, 5}, -4, 4)}},
          {{"tanh"}, {OperandSpec::ranged({3, 5}, -4, 4)}},
          {{}, {OperandSpec::of({0, 3})}}};
}

const Room& gelu() {
  static const Room room = make_room<Gelu>({
      .onnx = {"Gelu", 20},
      .arity = {1, 1},
      .attributes = {{"approximate", &Gelu::approximate}},
      .infer = infer_gelu,
      .reference = ESP_REFERENCE(Gelu, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = quantize,
      .pointwise = pointwise,
      .expand = expand,
      .emit = Derive{},
      .samples = gelu_samples(),
  });
  return room;
}

}  // namespace espalier::ops

// Gelu, ONNX opset 20: y = x Phi(x) with Phi the standard normal distribution; with approximate =
// "tanh" y = x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2 (Hendrycks and Gimpel, arXiv
// 1606.08415).
#include <cmath>
#include <numbers>

#include "ops/common.h"

namespace espalier::ops {
namespace {

struct Gelu {
  std::string approximate = "none";
};

constexpr double kCubic = 0.044715;
const double kSlope = std::sqrt(2 / std::numbers::pi);

Types infer(const Gelu& a, const TypesIn& in) {
  require_float(in, 0);
  if (a.approximate != "none" && a.approximate != "tanh")
    in.fail("approximate is '" + a.approximate + "'", "'none' or 'tanh' are defined");
  return same_as_input(in);
}

template <class Real>
void reference(const Gelu& a, Ref<Real>& r) {
  if (a.approximate == "tanh")
    unary_loop(r, [](Real x) {
      return x / 2 * (1 + std::tanh(Real(kSlope) * (x + Real(kCubic) * x * x * x)));
    });
  else
    unary_loop(r, [](Real x) { return x / 2 * (1 + std::erf(x / std::numbers::sqrt2_v<Real>)); });
}

// dx = dy (Phi(x) + x phi(x)), phi the normal density.
ValueId slope_exact(Builder& b, ValueId x) {
  const ValueId erf = b.one("Erf", {b.mul(x, 1 / std::numbers::sqrt2)});
  const ValueId density =
      b.mul(b.exp(b.mul(b.mul(x, x), -0.5)), std::numbers::inv_sqrtpi / std::numbers::sqrt2);
  return b.add(b.add(b.mul(erf, 0.5), 0.5), b.mul(x, density));
}

// With t the tanh and u its argument: dx = dy ((1 + t) / 2 + x (1 - t^2) u' / 2).
ValueId slope_tanh(Builder& b, ValueId x) {
  const ValueId square = b.mul(x, x);
  const ValueId u = b.mul(b.mul(x, b.add(b.mul(square, kCubic), 1.0)), kSlope);
  const ValueId t = b.one("Tanh", {u});
  const ValueId du = b.add(b.mul(square, 3 * kCubic * kSlope), kSlope);
  const ValueId bend = b.mul(b.mul(x, b.sub(b.scalar(1, x), b.mul(t, t))), du);
  return b.mul(b.add(b.add(t, bend), 1.0), 0.5);
}

Values gradient(const Gelu& a, Builder& b, const Tape& t) {
  const ValueId x = t.x(0);
  return {b.mul(t.dy(), a.approximate == "tanh" ? slope_tanh(b, x) : slope_exact(b, x))};
}

Values expand(const Gelu& a, Builder& b, const Values& in) {
  const ValueId x = in[0], half = b.mul(x, 0.5);
  if (a.approximate != "tanh")
    return {b.mul(half, b.add(b.one("Erf", {b.mul(x, 1 / std::numbers::sqrt2)}), 1.0))};
  const ValueId u = b.mul(b.mul(x, b.add(b.mul(b.mul(x, x), kCubic), 1.0)), kSlope);
  return {b.mul(half, b.add(b.one("Tanh", {u}), 1.0))};
}

Cost cost(const Gelu&, const TypesIn& in, const Types& out) { return map_cost(18, in, out); }

AxisMap axes(const Gelu&, const TypesIn& in, const Types&) { return AxisMap::identity(in); }

QuantForm quantize(const Gelu&, const TypesIn&) { return {.activations = {0}}; }

ScalarOp pointwise(const Gelu& a, const TypesIn&) {
  return {a.approximate == "tanh" ? ScalarCode::kGeluTanh : ScalarCode::kGelu};
}

}  // namespace

const Room& gelu() {
  static const Room room = make_room<Gelu>({
      .onnx = {"Gelu", 20},
      .arity = {1, 1},
      .attributes = {{"approximate", &Gelu::approximate}},
      .infer = infer,
      .reference = ESP_REFERENCE(Gelu, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = quantize,
      .pointwise = pointwise,
      .expand = expand,
      .emit = Derive{},
      .samples = {{{}, {OperandSpec::ranged({3, 5}, -4, 4)}},
                  {{"tanh"}, {OperandSpec::ranged({3, 5}, -4, 4)}},
                  {{}, {OperandSpec::of({0, 3})}}},
  });
  return room;
}

}  // namespace espalier::ops

// espalier.GeluSlope(x) -> d Gelu(x) / dx = Phi(x) + x phi(x), Phi the standard normal distribution
// and phi its density; with approximate = "tanh", t the tanh and u its argument, (1 + t) / 2 +
// x (1 - t^2) u' / 2.
#include "ops/activation/gelu.h"

namespace espalier::ops {
namespace {

template <class Real>
void reference(const Gelu& a, Ref<Real>& r) {
  // Beyond, the slope is 0 or 1, and infinity would meet the density, which is 0.
  const auto far = [](Real x) { return std::abs(x) > Real(40); };
  if (a.approximate == "tanh")
    unary_loop(r, [&](Real x) {
      if (far(x)) return Real(x > 0);
      const Real cubic = Real(kGeluCubic), scale = Real(kGeluScale);
      const Real t = std::tanh(scale * (x + cubic * x * x * x));
      return (1 + t) / 2 + x / 2 * (1 - t * t) * scale * (1 + 3 * cubic * x * x);
    });
  else
    unary_loop(r, [&](Real x) {
      if (far(x)) return Real(x > 0);
      const Real density =
          std::exp(-x * x / 2) * std::numbers::inv_sqrtpi_v<Real> / std::numbers::sqrt2_v<Real>;
      return (1 + std::erf(x / std::numbers::sqrt2_v<Real>)) / 2 + x * density;
    });
}

ValueId exact(Builder& b, ValueId x) {
  const ValueId erf = b.one("Erf", {b.mul(x, 1 / std::numbers::sqrt2)});
  const ValueId density =
      b.mul(b.exp(b.mul(b.mul(x, x), -0.5)), std::numbers::inv_sqrtpi / std::numbers::sqrt2);
  return b.add(b.add(b.mul(erf, 0.5), 0.5), b.mul(x, density));
}

ValueId by_tanh(Builder& b, ValueId x) {
  const ValueId square = b.mul(x, x);
  const ValueId u = b.mul(b.mul(x, b.add(b.mul(square, kGeluCubic), 1.0)), kGeluScale);
  const ValueId t = b.one("Tanh", {u});
  const ValueId du = b.add(b.mul(square, 3 * kGeluCubic * kGeluScale), kGeluScale);
  const ValueId bend = b.mul(b.mul(x, b.sub(b.scalar(1, x), b.mul(t, t))), du);
  return b.mul(b.add(b.add(t, bend), 1.0), 0.5);
}

Values expand(const Gelu& a, Builder& b, const Values& in) {
  return {a.approximate == "tanh" ? by_tanh(b, in[0]) : exact(b, in[0])};
}

Cost cost(const Gelu&, const TypesIn& in, const Types& out) { return map_cost(24, in, out); }

// The slope at zero is a half.
AxisMap axes(const Gelu&, const TypesIn& in, const Types&) { return AxisMap::identity(in, false); }

ScalarOp pointwise(const Gelu& a, const TypesIn&) {
  return {a.approximate == "tanh" ? ScalarCode::kGeluTanhSlope : ScalarCode::kGeluSlope};
}

}  // namespace

const Room& gelu_slope() {
  static const Room room = make_room<Gelu>({
      .onnx = {"GeluSlope", 1, "espalier"},
      .arity = {1, 1},
      .attributes = {{"approximate", &Gelu::approximate}},
      .infer = infer_gelu,
      .reference = ESP_REFERENCE(Gelu, reference),
      .gradient = Derive{},
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = pointwise,
      .expand = expand,
      .emit = Derive{},
      .samples = gelu_samples(),
  });
  return room;
}

}  // namespace espalier::ops

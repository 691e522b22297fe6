// Momentum, opset 1 of ai.onnx.preview.training, with g = norm_coefficient X + G:
//   V' = alpha V + beta g, or alpha V + g at T = 0
//   X' = X - R V' ("standard") or X - R (g + alpha V') ("nesterov")
#include "ops/optimiser/preview.h"

namespace espalier::ops {
namespace {

struct Momentum {
  float alpha = 0.9f;
  float beta = 1;
  std::string mode = "standard";
  float norm_coefficient = 0;
};

Types infer(const Momentum& a, const TypesIn& in) {
  if (a.mode != "standard" && a.mode != "nesterov")
    in.fail("mode '" + a.mode + "' is not known", "known: standard, nesterov");
  return infer_preview(in, 1);
}

Values expand(const Momentum& a, Builder& b, const Values& in) {
  return expand_preview(in, 1, [&](const Group& group) -> Values {
    const ValueId x = group[0], rate = number_like(b, in[0], x), t = number_like(b, in[1], x);
    const ValueId g = regularized(b, group, a.norm_coefficient);
    const ValueId beta =
        b.where(b.greater(t, b.scalar(0, t)), b.scalar(double(a.beta), x), b.scalar(1, x));
    const ValueId v = b.add(b.mul(group[2], double(a.alpha)), b.mul(beta, g));
    const ValueId step = a.mode == "nesterov" ? b.add(g, b.mul(v, double(a.alpha))) : v;
    return {b.sub(x, b.mul(rate, step)), v};
  });
}

AxisMap axes(const Momentum&, const TypesIn& in, const Types&) { return preview_axes(in, 1); }

}  // namespace

const Room& momentum() {
  auto samples = preview_samples(Momentum{0.8f, 0.5f, "standard", 0.01f}, 1);
  samples[1].attrs.mode = "nesterov";
  static const Room room = make_room<Momentum>({
      .onnx = {"Momentum", 1, kPreviewDomain},
      .arity = {5, kVariadic, 2, kVariadic},
      .attributes = {required("alpha", &Momentum::alpha), required("beta", &Momentum::beta),
                     required("mode", &Momentum::mode),
                     required("norm_coefficient", &Momentum::norm_coefficient)},
      .infer = infer,
      .reference = Derive{},
      .gradient = step_gradient(),
      .cost = Derive{},
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .samples = samples,
  });
  return room;
}

}  // namespace espalier::ops

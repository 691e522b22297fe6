// Adam, opset 1 of ai.onnx.preview.training (Kingma & Ba, arXiv:1412.6980), with
// g = norm_coefficient X + G:
//   V' = alpha V + (1 - alpha) g;  H' = beta H + (1 - beta) g^2
//   r = R sqrt(1 - beta^T) / (1 - alpha^T), or R at T = 0
//   X' = (1 - norm_coefficient_post) (X - r V' / (sqrt(H') + epsilon))
#include "ops/optimiser/preview.h"

namespace espalier::ops {
namespace {

struct Adam {
  float alpha = 0.9f;
  float beta = 0.999f;
  float epsilon = 1e-6f;
  float norm_coefficient = 0;
  float norm_coefficient_post = 0;
};

Types infer(const Adam&, const TypesIn& in) { return infer_preview(in, 2); }

/// 1 - base^t, and 1 at t = 0.
ValueId unbias(Builder& b, float base, ValueId t) {
  const ValueId zero = b.scalar(0, t), one = b.scalar(1, t);
  const ValueId power = b.one("Pow", {b.scalar(double(base), t), t});
  return b.where(b.greater(t, zero), b.sub(one, power), one);
}

Values expand(const Adam& a, Builder& b, const Values& in) {
  return expand_preview(in, 2, [&](const Group& group) -> Values {
    const ValueId x = group[0], rate = number_like(b, in[0], x), t = number_like(b, in[1], x);
    const ValueId g = regularized(b, group, a.norm_coefficient);
    const double alpha = double(a.alpha), beta = double(a.beta);
    const ValueId v = b.add(b.mul(group[2], alpha), b.mul(g, 1 - alpha));
    const ValueId h = b.add(b.mul(group[3], beta), b.mul(b.mul(g, g), 1 - beta));
    const ValueId r = b.div(b.mul(rate, b.sqrt(unbias(b, a.beta, t))), unbias(b, a.alpha, t));
    const ValueId step = b.div(b.mul(r, v), b.add(b.sqrt(h), double(a.epsilon)));
    return {b.mul(b.sub(x, step), 1 - double(a.norm_coefficient_post)), v, h};
  });
}

AxisMap axes(const Adam&, const TypesIn& in, const Types&) { return preview_axes(in, 2); }

}  // namespace

const Room& adam() {
  static const Room room = make_room<Adam>({
      .onnx = {"Adam", 1, kPreviewDomain},
      .arity = {6, kVariadic, 3, kVariadic},
      .attributes = {{"alpha", &Adam::alpha},
                     {"beta", &Adam::beta},
                     {"epsilon", &Adam::epsilon},
                     {"norm_coefficient", &Adam::norm_coefficient},
                     {"norm_coefficient_post", &Adam::norm_coefficient_post}},
      .infer = infer,
      .reference = Derive{},
      .gradient = step_gradient(),
      .cost = Derive{},
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .samples = preview_samples(Adam{0.8f, 0.95f, 1e-5f, 0.01f, 0.02f}, 2),
  });
  return room;
}

}  // namespace espalier::ops

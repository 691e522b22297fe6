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

/// 1 - base^t, and 1 at t = 0.
ValueId unbias(Builder& b, float base, ValueId t) {
  const ValueId zero = b.scalar(0, t), one = b.scalar(1, t);
  const ValueId power = b.one("Pow", {b.scalar(double(base), t), t});
  return b.where(b.greater(t, zero), b.sub(one, power), one);
}

Values step(const Adam& a, Builder& b, const PreviewStep& s) {
  const double alpha = double(a.alpha), beta = double(a.beta);
  const ValueId v = b.add(b.mul(s.moments[0], alpha), b.mul(s.g, 1 - alpha));
  const ValueId h = b.add(b.mul(s.moments[1], beta), b.mul(b.mul(s.g, s.g), 1 - beta));
  const ValueId r =
      b.div(b.mul(s.rate, b.sqrt(unbias(b, a.beta, s.count))), unbias(b, a.alpha, s.count));
  const ValueId change = b.div(b.mul(r, v), b.add(b.sqrt(h), double(a.epsilon)));
  return {b.mul(b.sub(s.x, change), 1 - double(a.norm_coefficient_post)), v, h};
}

}  // namespace

const Room& adam() {
  static const Room room = preview_room<Adam>({
      .name = "Adam",
      .moments = 2,
      .attributes = {{"alpha", &Adam::alpha},
                     {"beta", &Adam::beta},
                     {"epsilon", &Adam::epsilon},
                     {"norm_coefficient", &Adam::norm_coefficient},
                     {"norm_coefficient_post", &Adam::norm_coefficient_post}},
      .step = step,
      .samples = {{0.8f, 0.95f, 1e-5f, 0.01f, 0.02f}, {0.8f, 0.95f, 1e-5f, 0.01f, 0.02f}},
  });
  return room;
}

}  // namespace espalier::ops

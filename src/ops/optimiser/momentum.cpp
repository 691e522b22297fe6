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

void check(const Momentum& a, const TypesIn& in) {
  if (a.mode != "standard" && a.mode != "nesterov")
    in.fail("mode '" + a.mode + "' is not known", "known: standard, nesterov");
}

Values step(const Momentum& a, Builder& b, const PreviewStep& s) {
  const ValueId begun = b.greater(s.count, b.scalar(0, s.count));
  const ValueId beta = b.where(begun, b.scalar(double(a.beta), s.x), b.scalar(1, s.x));
  const ValueId v = b.add(b.mul(s.moments[0], double(a.alpha)), b.mul(beta, s.g));
  const ValueId change = a.mode == "nesterov" ? b.add(s.g, b.mul(v, double(a.alpha))) : v;
  return {b.sub(s.x, b.mul(s.rate, change)), v};
}

}  // namespace

const Room& momentum() {
  static const Room room = preview_room<Momentum>({
      .name = "Momentum",
      .moments = 1,
      .attributes = {required("alpha", &Momentum::alpha), required("beta", &Momentum::beta),
                     required("mode", &Momentum::mode),
                     required("norm_coefficient", &Momentum::norm_coefficient)},
      .step = step,
      .samples = {{0.8f, 0.5f, "standard", 0.01f}, {0.8f, 0.5f, "nesterov", 0.01f}},
      .check = check,
  });
  return room;
}

}  // namespace espalier::ops

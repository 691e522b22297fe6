// Adagrad, opset 1 of ai.onnx.preview.training (Duchi, Hazan & Singer, JMLR 12, 2011), with
// r = R / (1 + T decay_factor) and g = norm_coefficient X + G:
//   H' = H + g^2;  X' = X - r g / (sqrt(H') + epsilon)
#include "ops/optimiser/preview.h"

namespace espalier::ops {
namespace {

struct Adagrad {
  float decay_factor = 0;
  float epsilon = 1e-6f;
  float norm_coefficient = 0;
};

Values step(const Adagrad& a, Builder& b, const PreviewStep& s) {
  const ValueId r = b.div(s.rate, b.add(b.mul(s.count, double(a.decay_factor)), 1.0));
  const ValueId h = b.add(s.moments[0], b.mul(s.g, s.g));
  const ValueId change = b.div(b.mul(r, s.g), b.add(b.sqrt(h), double(a.epsilon)));
  return {b.sub(s.x, change), h};
}

}  // namespace

const Room& adagrad() {
  static const Room room = preview_room<Adagrad>({
      .name = "Adagrad",
      .moments = 1,
      .attributes = {{"decay_factor", &Adagrad::decay_factor},
                     {"epsilon", &Adagrad::epsilon},
                     {"norm_coefficient", &Adagrad::norm_coefficient}},
      .step = step,
      .samples = {{0.1f, 1e-5f, 0.01f}, {0.1f, 1e-5f, 0.01f}},
  });
  return room;
}

}  // namespace espalier::ops

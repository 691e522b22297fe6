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

Types infer(const Adagrad&, const TypesIn& in) { return infer_preview(in, 1); }

Values expand(const Adagrad& a, Builder& b, const Values& in) {
  return expand_preview(in, 1, [&](const Group& group) -> Values {
    const ValueId x = group[0], rate = number_like(b, in[0], x), t = number_like(b, in[1], x);
    const ValueId r = b.div(rate, b.add(b.mul(t, double(a.decay_factor)), 1.0));
    const ValueId g = regularized(b, group, a.norm_coefficient);
    const ValueId h = b.add(group[2], b.mul(g, g));
    const ValueId step = b.div(b.mul(r, g), b.add(b.sqrt(h), double(a.epsilon)));
    return {b.sub(x, step), h};
  });
}

AxisMap axes(const Adagrad&, const TypesIn& in, const Types&) { return preview_axes(in, 1); }

}  // namespace

const Room& adagrad() {
  static const Room room = make_room<Adagrad>({
      .onnx = {"Adagrad", 1, kPreviewDomain},
      .arity = {5, kVariadic, 2, kVariadic},
      .attributes = {{"decay_factor", &Adagrad::decay_factor},
                     {"epsilon", &Adagrad::epsilon},
                     {"norm_coefficient", &Adagrad::norm_coefficient}},
      .infer = infer,
      .reference = Derive{},
      .gradient = step_gradient(),
      .cost = Derive{},
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .samples = preview_samples(Adagrad{0.1f, 1e-5f, 0.01f}, 1),
  });
  return room;
}

}  // namespace espalier::ops

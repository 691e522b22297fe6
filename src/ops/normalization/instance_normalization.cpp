// InstanceNormalization, ONNX opset 6 (Ulyanov, Vedaldi & Lempitsky, arXiv:1607.08022): each
// channel of each sample is normalised over its spatial axes: y = scale (x - mean) / sqrt(var +
// epsilon) + bias.
#include "ops/normalization/moments.h"

namespace espalier::ops {
namespace {

struct InstanceNormalization {
  float epsilon = 1e-5f;
};
using Norm = InstanceNormalization;

Types infer(const Norm& a, const TypesIn& in) {
  require_channel_scales(in, a.epsilon, 3, "spatial axes must follow batch and channel");
  return same_as_input(in);
}

template <class Real>
void reference(const Norm& a, Ref<Real>& r) {
  standardise_rows(r, product(r.shape(0), 2, r.shape(0).size()), a.epsilon);
}

Values expand(const Norm& a, Builder& b, const Values& in) {
  std::vector<int64_t> spatial;
  for (int64_t axis = 2; axis < b.type(in[0]).rank(); ++axis) spatial.push_back(axis);
  return {scaled_by_channel(b, standardised(b, in[0], spatial, a.epsilon), in[1], in[2])};
}

Cost cost(const Norm&, const TypesIn& in, const Types& out) { return map_cost(9, in, out); }

AxisMap axes(const Norm&, const TypesIn& in, const Types&) {
  AxisMap map = AxisMap::identity(in);
  for (AxisTie& tie : map.ties) {
    const int axis = tie.places[0].axis;
    if (axis == 1) {
      tie.places.push_back(AxisPlace::in(1, 0));
      tie.places.push_back(AxisPlace::in(2, 0));
    } else {
      tie.zero_passes = false;
      tie.reads_whole = axis > 1;
    }
  }
  return map;
}

}  // namespace

const Room& instance_normalization() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  static const Room room = make_room<Norm>({
      .onnx = {"InstanceNormalization", 6},
      .arity = {3, 3},
      .attributes = {{"epsilon", &Norm::epsilon}},
      .infer = infer,
      .reference = ESP_REFERENCE(Norm, reference),
      .gradient = Derive{},
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = Derive{},
      .samples = {{{}, {x({2, 3, 4, 2}), x({3}), x({3})}},
                  {{1e-3f}, {x({2, 2, 5}), x({2}), x({2})}},
                  {{}, {x({0, 3, 2, 2}), x({3}), x({3})}}},
  });
  return room;
}

}  // namespace espalier::ops

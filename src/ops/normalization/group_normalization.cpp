// GroupNormalization, ONNX opset 21 (Wu & He, arXiv:1803.08494): the channels of each sample are
// divided into groups, each normalised over its channels and spatial axes together;
// y = scale (x - mean) / sqrt(var + epsilon) + bias with one scale and bias for each channel.
// Statistics are computed in double, whatever stash_type says.
#include "ops/normalization/moments.h"

namespace espalier::ops {
namespace {

struct GroupNormalization {
  float epsilon = 1e-5f;
  int64_t num_groups = 1;
  int64_t stash_type = 1;
};
using Norm = GroupNormalization;

Types infer(const Norm& a, const TypesIn& in) {
  require_channel_scales(in, a.epsilon, 2, "channels must follow the batch");
  const Dim& channels = in[0].dims[1];
  if (a.num_groups < 1 || (channels.known() && channels.value() % a.num_groups != 0))
    in.fail(to_string(channels) + " channels cannot be divided into " +
            std::to_string(a.num_groups) + " groups");
  return same_as_input(in);
}

template <class Real>
void reference(const Norm& a, Ref<Real>& r) {
  const Shape& shape = r.shape(0);
  standardise_rows(r, shape[1] / a.num_groups * product(shape, 2, shape.size()), a.epsilon);
}

// Groups as rows of a matrix, normalised, then scaled by channel.
Values expand(const Norm& a, Builder& b, const Values& in) {
  const TensorType type = b.type(in[0]);
  std::vector<int64_t> rows = {0, a.num_groups, -1};
  AttributeMap reading;
  if (type.is_static()) {
    const int64_t whole = type.numel(), batch = type.dims[0].value();
    rows = {batch, a.num_groups, whole == 0 ? 0 : whole / batch / a.num_groups};
    reading = {{"allowzero", int64_t{1}}};
  }
  const ValueId x = b.one("Reshape", {in[0], b.ints(rows)}, reading);
  const ValueId normal = standardised(b, x, {2}, a.epsilon);
  std::vector<int64_t> rest;
  for (size_t d = 1; d < type.dims.size() && type.dims[d].known(); ++d)
    rest.push_back(type.dims[d].value());
  const ValueId back =
      rest.size() + 1 == type.dims.size()
          ? b.reshape_behind_first(normal, rest)
          : b.one("Reshape", {normal, shape_of(b, in[0])}, {{"allowzero", int64_t{1}}});
  return {scaled_by_channel(b, back, in[1], in[2])};
}

Cost cost(const Norm&, const TypesIn& in, const Types& out) { return map_cost(9, in, out); }

// All groups lose or gain alike: index k of a tie is the k-th channel of each group.
AxisMap axes(const Norm& a, const TypesIn& in, const Types&) {
  AxisMap map = AxisMap::identity(in);
  for (AxisTie& tie : map.ties) {
    const int axis = tie.places[0].axis;
    if (axis == 1) {
      tie.count /= a.num_groups;
      tie.places = {AxisPlace::in(0, 1, 1, a.num_groups), AxisPlace::in(1, 0, 1, a.num_groups),
                    AxisPlace::in(2, 0, 1, a.num_groups), AxisPlace::out(0, 1, 1, a.num_groups)};
      tie.reads_whole = true;
    } else {
      tie.zero_passes = false;
      tie.reads_whole = axis > 1;
    }
  }
  return map;
}

}  // namespace

const Room& group_normalization() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  static const Room room = make_room<Norm>({
      .onnx = {"GroupNormalization", 21},
      .arity = {3, 3},
      .attributes = {{"epsilon", &Norm::epsilon},
                     required("num_groups", &Norm::num_groups),
                     {"stash_type", &Norm::stash_type}},
      .infer = infer,
      .reference = ESP_REFERENCE(Norm, reference),
      .gradient = Derive{},
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = Derive{},
      .samples = {{{1e-5f, 2}, {x({2, 4, 3, 2}), x({4}), x({4})}},
                  {{1e-3f, 3}, {x({2, 6, 5}), x({6}), x({6})}},
                  {{1e-5f, 1}, {x({3, 4}), x({4}), x({4})}},
                  {{1e-5f, 2}, {x({0, 4, 2, 2}), x({4}), x({4})}}},
  });
  return room;
}

}  // namespace espalier::ops

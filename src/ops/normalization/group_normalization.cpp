// GroupNormalization, ONNX opset 21 (Wu & He, arXiv:1803.08494): the channels of each sample are
// divided into groups, each normalised over its channels and spatial axes together;
// y = scale (x - mean) / sqrt(var + epsilon) + bias with one scale and bias for each channel.
// Statistics are computed in double, whatever stash_type says.
#include <cmath>

#include "ops/common.h"

namespace espalier::ops {
namespace {

struct GroupNormalization {
  float epsilon = 1e-5f;
  int64_t num_groups = 1;
  int64_t stash_type = 1;
};
using Norm = GroupNormalization;

Types infer(const Norm& a, const TypesIn& in) {
  require_float(in, 0);
  require_same_dtype(in, 0, 3);
  if (in[0].rank() < 2)
    in.fail("operand 0 is " + to_string(in[0]), "channels must follow the batch");
  if (!(a.epsilon >= 0)) in.fail("epsilon is " + std::to_string(a.epsilon));
  const Dim& channels = in[0].dims[1];
  if (a.num_groups < 1 || (channels.known() && channels.value() % a.num_groups != 0))
    in.fail(to_string(channels) + " channels cannot be divided into " +
            std::to_string(a.num_groups) + " groups");
  for (size_t i = 1; i < 3; ++i) {
    require_rank(in, i, 1);
    const Dim& own = in[i].dims[0];
    if (own.known() && channels.known() && !(own == channels))
      in.fail("operand " + std::to_string(i) + " is " + to_string(in[i]) + " for " +
              to_string(channels) + " channels");
  }
  return same_as_input(in);
}

template <class Real>
void reference(const Norm& a, Ref<Real>& r) {
  const Shape& shape = r.shape(0);
  const auto x = r.real(0), scale = r.real(1), bias = r.real(2);
  const auto y = r.out_real(0);
  if (x.empty()) return;
  const int64_t plane = product(shape, 2, shape.size());
  const int64_t size = shape[1] / a.num_groups * plane, groups = int64_t(x.size()) / size;
  for (int64_t g = 0; g < groups; ++g) {
    double mean = 0, var = 0;
    for (int64_t i = g * size; i < (g + 1) * size; ++i) mean += double(x[size_t(i)]);
    mean /= double(size);
    for (int64_t i = g * size; i < (g + 1) * size; ++i)
      var += std::pow(double(x[size_t(i)]) - mean, 2);
    const double inv_std = 1 / std::sqrt(var / double(size) + double(a.epsilon));
    for (int64_t i = g * size; i < (g + 1) * size; ++i) {
      const auto c = size_t(i / plane % shape[1]);
      const double h = (double(x[size_t(i)]) - mean) * inv_std;
      y[size_t(i)] = Real(h * double(scale[c]) + double(bias[c]));
    }
  }
}

// Groups as rows of a matrix, normalised, then scaled by channel.
Values expand(const Norm& a, Builder& b, const Values& in) {
  const TensorType type = b.type(in[0]);
  std::vector<int64_t> along(size_t(type.rank()) - 1, 1), rows = {0, a.num_groups, -1};
  along[0] = -1;  // [C, 1, ...] broadcasts over the batch
  AttributeMap reading;
  if (type.is_static()) {
    const int64_t whole = type.numel(), batch = type.dims[0].value();
    rows = {batch, a.num_groups, whole == 0 ? 0 : whole / batch / a.num_groups};
    reading = {{"allowzero", int64_t{1}}};
  }
  const ValueId x = b.one("Reshape", {in[0], b.ints(rows)}, reading);
  const ValueId centred = b.sub(x, b.reduce_mean(x, {2}));
  const ValueId var = b.reduce_mean(b.mul(centred, centred), {2});
  const ValueId normal = b.div(centred, b.sqrt(b.add(var, double(a.epsilon))));
  const ValueId back = b.one("Reshape", {normal, shape_of(b, in[0])}, {{"allowzero", int64_t{1}}});
  return {b.add(b.mul(back, b.reshape(in[1], along)), b.reshape(in[2], along))};
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
      .samples = {{{1e-5f, 2}, {x({2, 4, 3, 2}), x({4}), x({4})}},
                  {{1e-3f, 3}, {x({2, 6, 5}), x({6}), x({6})}},
                  {{1e-5f, 1}, {x({3, 4}), x({4}), x({4})}},
                  {{1e-5f, 2}, {x({0, 4, 2, 2}), x({4}), x({4})}}},
  });
  return room;
}

}  // namespace espalier::ops

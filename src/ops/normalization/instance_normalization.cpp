// InstanceNormalization, ONNX opset 6 (Ulyanov, Vedaldi & Lempitsky, arXiv:1607.08022): each
// channel of each sample is normalised over its spatial axes: y = scale (x - mean) / sqrt(var +
// epsilon) + bias.
#include <cmath>

#include "ops/common.h"

namespace espalier::ops {
namespace {

struct InstanceNormalization {
  float epsilon = 1e-5f;
};
using Norm = InstanceNormalization;

Types infer(const Norm& a, const TypesIn& in) {
  require_float(in, 0);
  require_same_dtype(in, 0, 3);
  if (in[0].rank() < 3)
    in.fail("operand 0 is " + to_string(in[0]), "spatial axes must follow batch and channel");
  if (!(a.epsilon >= 0)) in.fail("epsilon is " + std::to_string(a.epsilon));
  for (size_t i = 1; i < 3; ++i) {
    require_rank(in, i, 1);
    const Dim &own = in[i].dims[0], &channels = in[0].dims[1];
    if (own.known() && channels.known() && !(own == channels))
      in.fail("operand " + std::to_string(i) + " is " + to_string(in[i]) + " for " +
              to_string(channels) + " channels");
  }
  return same_as_input(in);
}

template <class Real>
void reference(const Norm& a, Ref<Real>& r) {
  const Shape& shape = r.shape(0);
  const int64_t size = product(shape, 2, shape.size());
  const double count = double(std::max<int64_t>(1, size));
  const auto x = r.real(0), scale = r.real(1), bias = r.real(2);
  const auto y = r.out_real(0);
  for (int64_t plane = 0; plane < shape[0] * shape[1]; ++plane) {
    const Real* px = x.data() + plane * size;
    Real* py = y.data() + plane * size;
    const auto c = size_t(plane % shape[1]);
    double mean = 0, var = 0;
    for (int64_t i = 0; i < size; ++i) mean += double(px[i]) / count;
    for (int64_t i = 0; i < size; ++i) var += std::pow(double(px[i]) - mean, 2) / count;
    const double inv_std = 1 / std::sqrt(var + double(a.epsilon));
    for (int64_t i = 0; i < size; ++i)
      py[i] = Real((double(px[i]) - mean) * inv_std * double(scale[c]) + double(bias[c]));
  }
}

Values expand(const Norm& a, Builder& b, const Values& in) {
  const int64_t rank = b.type(in[0]).rank();
  std::vector<int64_t> spatial, along(size_t(rank) - 1, 1);
  for (int64_t axis = 2; axis < rank; ++axis) spatial.push_back(axis);
  along[0] = -1;  // [C, 1, ...] broadcasts over the batch
  const ValueId centred = b.sub(in[0], b.reduce_mean(in[0], spatial));
  const ValueId var = b.reduce_mean(b.mul(centred, centred), spatial);
  const ValueId normal = b.div(centred, b.sqrt(b.add(var, double(a.epsilon))));
  return {b.add(b.mul(normal, b.reshape(in[1], along)), b.reshape(in[2], along))};
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
      .samples = {{{}, {x({2, 3, 4, 2}), x({3}), x({3})}},
                  {{1e-3f}, {x({2, 2, 5}), x({2}), x({2})}},
                  {{}, {x({0, 3, 2, 2}), x({3}), x({3})}}},
  });
  return room;
}

}  // namespace espalier::ops

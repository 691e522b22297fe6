// MeanVarianceNormalization, ONNX opset 13: y = (x - mean) / (sqrt(var) + 1e-9), the statistics
// over `axes`.
#include "ops/normalization/moments.h"
#include "ops/reduction/lp.h"
#include "ops/reduction/reduce.h"

namespace espalier::ops {
namespace {

constexpr double kEpsilon = 1e-9;

struct MeanVarianceNormalization {
  std::vector<int64_t> axes = {0, 2, 3};
};
using Norm = MeanVarianceNormalization;

/// Unlike those of reductions, an empty list names no axes.
std::vector<bool> mask_of(const Norm& a, int64_t rank) {
  if (a.axes.empty()) return std::vector<bool>(size_t(rank), false);
  return reduced_mask(Reduce{a.axes}, rank);
}

Types infer(const Norm& a, const TypesIn& in) {
  require_float(in, 0);
  axis_mask(in, a.axes, in[0].rank());
  return same_as_input(in);
}

template <class Real>
void reference(const Norm& a, Ref<Real>& r) {
  const Shape& shape = r.shape(0);
  const std::vector<bool> mask = mask_of(a, int64_t(shape.size()));
  size_t groups = 1;
  for (size_t d = 0; d < shape.size(); ++d) groups *= mask[d] ? 1 : size_t(shape[d]);
  const auto x = r.real(0);
  const auto y = r.out_real(0);
  if (x.empty()) return;
  const double count = double(x.size() / groups);
  std::vector<double> mean(groups, 0), var(groups, 0);
  for_each_reduced(shape, mask, [&](size_t i, size_t o) { mean[o] += double(x[i]) / count; });
  for_each_reduced(shape, mask, [&](size_t i, size_t o) {
    var[o] += std::pow(double(x[i]) - mean[o], 2) / count;
  });
  for_each_reduced(shape, mask, [&](size_t i, size_t o) {
    y[i] = Real((double(x[i]) - mean[o]) / (std::sqrt(var[o]) + kEpsilon));
  });
}

Values expand(const Norm& a, Builder& b, const Values& in) {
  if (a.axes.empty()) {
    const ValueId none = b.sub(in[0], in[0]);  // an element alone is its mean
    return {none};
  }
  // Sixteen bits do not hold the epsilon, and what is constant would become 0 / 0.
  const DType dtype = b.type(in[0]).dtype;
  const DType wide = size_of(dtype) < 4 ? DType::f32 : dtype;
  const Centred c = centred(b, b.cast(in[0], wide), a.axes);
  return {b.cast(b.div(c.x, b.add(root(b, c.var, 2), kEpsilon)), dtype)};
}

Cost cost(const Norm&, const TypesIn& in, const Types& out) { return map_cost(8, in, out); }

AxisMap axes(const Norm& a, const TypesIn& in, const Types&) {
  const std::vector<bool> mask = mask_of(a, in[0].rank());
  AxisMap map = AxisMap::identity(in);
  for (AxisTie& tie : map.ties)
    if (mask[size_t(tie.places[0].axis)]) {
      tie.zero_passes = false;
      tie.reads_whole = true;
    }
  return map;
}

}  // namespace

const Room& mean_variance_normalization() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  static const Room room = make_room<Norm>({
      .onnx = {"MeanVarianceNormalization", 13},
      .arity = {1, 1},
      .attributes = {{"axes", &Norm::axes}},
      .infer = infer,
      .reference = ESP_REFERENCE(Norm, reference),
      .gradient = Derive{},
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = Derive{},
      .samples = {{{}, {x({2, 3, 4, 2})}},
                  {{{-1}}, {x({3, 5})}},
                  {{{1, 2}}, {x({2, 3, 2})}},
                  {{{0}}, {x({3, 0})}}},
  });
  return room;
}

}  // namespace espalier::ops

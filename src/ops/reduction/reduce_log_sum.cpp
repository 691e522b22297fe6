// ReduceLogSum, ONNX opset 13: the logarithm of the sum over axes.
#include "ops/reduction/reduce.h"

namespace espalier::ops {
namespace {

Values expand(const Reduce& a, Builder& b, const Values& in) {
  return {b.one("Log", {sum_over(a, b, in[0])})};
}

Cost cost(const Reduce&, const TypesIn& in, const Types& out) {
  return {0, double(in[0].numel() + out[0].tensor().numel()), traffic(in, out)};
}

AxisMap axes(const Reduce& a, const TypesIn& in, const Types&) {
  return reduced_ties(in, reduced_mask(a, in), a.keepdims, ReducedAxis::kContracts, false);
}

}  // namespace

const Room& reduce_log_sum() {
  static const Room room = make_room<Reduce>({
      .onnx = {"ReduceLogSum", 13},
      .arity = {1, 1},
      .attributes = {{"axes", &Reduce::axes}, {"keepdims", &Reduce::keepdims}},
      .infer = infer_reduce_float,
      .reference = Derive{},
      .gradient = Derive{},
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = Derive{},
      .samples = reduction_samples(0.1, 1),
  });
  return room;
}

}  // namespace espalier::ops

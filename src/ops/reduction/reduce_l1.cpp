// ReduceL1, ONNX opset 13: the sum of magnitudes over axes.
#include "ops/reduction/reduce.h"

namespace espalier::ops {
namespace {

Values expand(const Reduce& a, Builder& b, const Values& in) {
  return {sum_over(a, b, b.one("Abs", {in[0]}))};
}

Cost cost(const Reduce&, const TypesIn& in, const Types& out) {
  return {0, 2 * double(in[0].numel()), traffic(in, out)};
}

AxisMap axes(const Reduce& a, const TypesIn& in, const Types&) {
  return reduced_ties(in, reduced_mask(a, in), a.keepdims, ReducedAxis::kContracts, true);
}

}  // namespace

const Room& reduce_l1() {
  static const Room room = make_room<Reduce>({
      .onnx = {"ReduceL1", 13},
      .arity = {1, 1},
      .attributes = {{"axes", &Reduce::axes}, {"keepdims", &Reduce::keepdims}},
      .infer = infer_reduce,
      .reference = Derive{},
      .gradient = Derive{},
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = Derive{},
      .samples = reduction_samples(-1, 1),
      .kinks = {0},
  });
  return room;
}

}  // namespace espalier::ops

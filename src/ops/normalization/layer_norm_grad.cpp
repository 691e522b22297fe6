// espalier.LayerNormGrad(dy, x, scale, mean, inv_std) -> dx, dscale, dbias: the gradient of
// LayerNormalization whose scale and bias have the extents of the normalised axes, from its
// statistics. With h = (x - mean) inv_std, g = dy scale, and means over the normalised axes:
//   dx = inv_std (g - mean g - h mean(g h)),  dscale = sum dy h,  dbias = sum dy.
#include "ops/common.h"
#include "ops/normalization/layer_normalization.h"

namespace espalier::ops {

Values layer_norm_gradients(Builder& b, int64_t axis, ValueId dy, ValueId x, ValueId scale,
                            ValueId mean, ValueId inv_std) {
  const TensorType type = b.type(x);
  std::vector<int64_t> over;
  for (int64_t i = axis < 0 ? axis + type.rank() : axis; i < type.rank(); ++i) over.push_back(i);
  const ValueId inv = b.cast(inv_std, type.dtype);
  const ValueId h = b.mul(b.sub(x, b.cast(mean, type.dtype)), inv);
  const ValueId g = b.mul(dy, scale);
  const ValueId along_h = b.mul(h, b.reduce_mean(b.mul(g, h), over));
  return {b.mul(inv, b.sub(b.sub(g, b.reduce_mean(g, over)), along_h)),
          b.unbroadcast(b.mul(dy, h), scale), b.unbroadcast(dy, scale)};
}

namespace {

Types infer(const LayerNormGrad& a, const TypesIn& in) {
  for (size_t i = 0; i < 5; ++i) require_float(in, i);
  require_same_dtype(in, 0, 3);
  require_like_result(in, 1, in[0]);
  const int64_t axis = axis_of(in, 1, a.axis);
  TensorType scale = in[1], statistics = in[1];
  scale.dims.erase(scale.dims.begin(), scale.dims.begin() + axis);
  for (size_t d = size_t(axis); d < statistics.dims.size(); ++d) statistics.dims[d] = Dim(1);
  require_like_result(in, 2, scale);
  require_like_result(in, 3, statistics);
  require_like_result(in, 4, statistics);
  return {in[1], in[2], in[2]};
}

Values expand(const LayerNormGrad& a, Builder& b, const Values& in) {
  return layer_norm_gradients(b, a.axis, in[0], in[1], in[2], in[3], in[4]);
}

Cost cost(const LayerNormGrad&, const TypesIn& in, const Types& out) {
  return map_cost(14, in, out);
}

}  // namespace

const Room& layer_norm_grad() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  const auto inv = [](Shape shape) { return OperandSpec::ranged(std::move(shape), 0.5, 2); };
  static const Room room = make_room<LayerNormGrad>({
      .onnx = {"LayerNormGrad", 1, "espalier"},
      .arity = {5, 5, 3, 3},
      .attributes = {{"axis", &LayerNormGrad::axis}},
      .infer = infer,
      .reference = Derive{},
      .gradient = Derive{},
      .cost = cost,
      .axes = Refuse{"cut the network before it is differentiated"},
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = Derive{},
      .samples = {{{}, {x({2, 3, 4}), x({2, 3, 4}), x({4}), x({2, 3, 1}), inv({2, 3, 1})}},
                  {{1}, {x({2, 3, 2}), x({2, 3, 2}), x({3, 2}), x({2, 1, 1}), inv({2, 1, 1})}}},
  });
  return room;
}

}  // namespace espalier::ops

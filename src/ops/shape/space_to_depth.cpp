// SpaceToDepth, ONNX opset 13: blocks of pixels become blocks of channels, [N, C, H b, W b] to
// [N, b b C, H, W]; a pixel's place in its block varies slowest. The inverse of DepthToSpace in
// mode DCR.
#include "ops/reshape_behind_first.h"
#include "ops/shape/blocks.h"

namespace espalier::ops {
namespace {

struct SpaceToDepth {
  int64_t blocksize = 0;
};

Types infer(const SpaceToDepth& a, const TypesIn& in) {
  check_blocks(in, a.blocksize);
  const int64_t block = a.blocksize;
  TensorType y = in[0];
  for (size_t i = 1; i < 4; ++i) {
    if (!y.dims[i].known()) {
      if (block != 1) y.dims[i] = Dim::unknown();
      continue;
    }
    const int64_t extent = y.dims[i].value();
    if (i > 1 && extent % block != 0)
      in.fail("an extent of " + std::to_string(extent) + " does not divide into blocks of " +
              std::to_string(block));
    y.dims[i] = Dim(i == 1 ? extent * block * block : extent / block);
  }
  return {std::move(y)};
}

Values expand(const SpaceToDepth& a, Builder& b, const Values& in) {
  const Shape s = block_extents(b, in[0], "SpaceToDepth");
  const int64_t k = a.blocksize, c = s[1], h = s[2] / k, w = s[3] / k;
  const ValueId apart = reshape_behind_first(b, in[0], {c, h, k, w, k});
  return {reshape_behind_first(b, b.transpose(apart, {0, 3, 5, 1, 2, 4}), {c * k * k, h, w})};
}

Cost cost(const SpaceToDepth&, const TypesIn& in, const Types& out) { return move_cost(in, out); }

AxisMap axes(const SpaceToDepth& a, const TypesIn& in, const Types&) {
  AxisMap map;
  if (in[0].dims[0].known())
    map.ties.push_back({in[0].dims[0].value(), {AxisPlace::in(0, 0), AxisPlace::out(0, 0)}});
  if (in[0].dims[1].known())
    map.ties.push_back({in[0].dims[1].value(),
                        {AxisPlace::in(0, 1), AxisPlace::out(0, 1, 1, a.blocksize * a.blocksize)}});
  return map;
}

QuantForm quantize(const SpaceToDepth&, const TypesIn&) {
  return {.activations = {0}, .result = QuantForm::Result::kSameAsInput};
}

}  // namespace

const Room& space_to_depth() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  static const Room room = make_room<SpaceToDepth>({
      .onnx = {"SpaceToDepth", 13},
      .arity = {1, 1},
      .attributes = {required("blocksize", &SpaceToDepth::blocksize)},
      .infer = infer,
      .reference = Derive{},
      .gradient = Derive{},
      .cost = cost,
      .axes = axes,
      .quantize = quantize,
      .pointwise = not_pointwise(),
      .expand = expand,
      .samples = {{{2}, {x({2, 2, 4, 6})}}, {{3}, {x({1, 2, 3, 6})}}, {{2}, {x({0, 3, 2, 2})}}},
  });
  return room;
}

}  // namespace espalier::ops

// DepthToSpace, ONNX opset 13: blocks of channels become blocks of pixels, [N, C b b, H, W] to
// [N, C, H b, W b]. In mode DCR a pixel's place in its block varies slowest among the channels, in
// CRD fastest.
#include "ops/reshape_behind_first.h"
#include "ops/shape/blocks.h"

namespace espalier::ops {

void check_blocks(const TypesIn& in, int64_t block) {
  require_rank(in, 0, 4);
  if (block < 1 || block > (int64_t{1} << 15))
    in.fail("blocksize is " + std::to_string(block) + ", at least 1 is needed");
}

Shape block_extents(Builder& b, ValueId v, const char* who) {
  const Dims& dims = b.type(v).dims;
  Shape extents = {0};
  for (size_t i = 1; i < 4; ++i) {
    if (!dims[i].known())
      throw unsupported(who, "the expansion of " + to_string(b.type(v)) + " needs known extents",
                        "specialise the graph first");
    extents.push_back(dims[i].value());
  }
  return extents;
}

namespace {

struct DepthToSpace {
  int64_t blocksize = 0;
  std::string mode = "DCR";
};

Types infer(const DepthToSpace& a, const TypesIn& in) {
  check_blocks(in, a.blocksize);
  if (a.mode != "DCR" && a.mode != "CRD")
    in.fail("mode '" + a.mode + "' is not known", "known: DCR, CRD");
  const int64_t block = a.blocksize;
  TensorType y = in[0];
  for (size_t i = 1; i < 4; ++i) {
    if (!y.dims[i].known()) {
      if (block != 1) y.dims[i] = Dim::unknown();
      continue;
    }
    const int64_t extent = y.dims[i].value();
    if (i == 1 && extent % (block * block) != 0)
      in.fail(std::to_string(extent) + " channels do not divide into blocks of " +
              std::to_string(block * block));
    y.dims[i] = Dim(i == 1 ? extent / (block * block) : extent * block);
  }
  return {std::move(y)};
}

Values expand(const DepthToSpace& a, Builder& b, const Values& in) {
  const Shape s = block_extents(b, in[0], "DepthToSpace");
  const int64_t k = a.blocksize, c = s[1] / (k * k), h = s[2], w = s[3];
  const bool dcr = a.mode == "DCR";
  const ValueId apart =
      reshape_behind_first(b, in[0], dcr ? Shape{k, k, c, h, w} : Shape{c, k, k, h, w});
  const ValueId moved = b.transpose(apart, dcr ? Shape{0, 3, 4, 1, 5, 2} : Shape{0, 1, 4, 2, 5, 3});
  return {reshape_behind_first(b, moved, {c, h * k, w * k})};
}

Cost cost(const DepthToSpace&, const TypesIn& in, const Types& out) { return move_cost(in, out); }

AxisMap axes(const DepthToSpace& a, const TypesIn& in, const Types& out) {
  const int64_t places = a.blocksize * a.blocksize;
  AxisMap map;
  if (in[0].dims[0].known())
    map.ties.push_back({in[0].dims[0].value(), {AxisPlace::in(0, 0), AxisPlace::out(0, 0)}});
  if (const Dim& channels = out[0].tensor().dims[1]; channels.known())
    map.ties.push_back(
        {channels.value(),
         {a.mode == "DCR" ? AxisPlace::in(0, 1, 1, places) : AxisPlace::in(0, 1, places),
          AxisPlace::out(0, 1)}});
  return map;
}

QuantForm quantize(const DepthToSpace&, const TypesIn&) {
  return {.activations = {0}, .result = QuantForm::Result::kSameAsInput};
}

}  // namespace

const Room& depth_to_space() {
  using D = DepthToSpace;
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  static const Room room = make_room<D>({
      .onnx = {"DepthToSpace", 13},
      .arity = {1, 1},
      .attributes = {required("blocksize", &D::blocksize), {"mode", &D::mode}},
      .infer = infer,
      .reference = Derive{},
      .gradient = Derive{},
      .cost = cost,
      .axes = axes,
      .quantize = quantize,
      .pointwise = not_pointwise(),
      .expand = expand,
      .samples = {{{2}, {x({2, 8, 2, 3})}},
                  {{2, "CRD"}, {x({2, 8, 2, 3})}},
                  {{3, "CRD"}, {x({1, 18, 1, 2})}},
                  {{2}, {x({0, 4, 2, 2})}}},
  });
  return room;
}

}  // namespace espalier::ops

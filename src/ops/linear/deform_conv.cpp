// DeformConv, ONNX opset 19 (Dai et al., arXiv:1703.06211; Zhu et al., arXiv:1811.11168): a
// convolution of images whose kernel elements read x where they stand plus an offset of their own,
// between pixels by bilinear interpolation, zero outside; each reading weighted by a mask if given.
// Operands: X [N,C,H,W], W [M,C/group,kH,kW], offset [N, offset_group kH kW 2, oH, oW] (y before
// x), bias [M], mask [N, offset_group kH kW, oH, oW].
#include "base/error.h"
#include "ops/common.h"
#include "ops/reshape_behind_first.h"
#include "ops/window.h"

namespace espalier::ops {
namespace {

struct DeformConv : Window {
  int64_t group = 1;
  int64_t offset_group = 1;
};

void require_extent(const TypesIn& in, size_t operand, size_t axis, int64_t wanted) {
  const Dim& d = in[operand].dims[axis];
  if (d.known() && !d.is(wanted))
    in.fail("operand " + std::to_string(operand) + " is " + to_string(in[operand]) + ", axis " +
            std::to_string(axis) + " must be " + std::to_string(wanted));
}

Types infer(const DeformConv& a, const TypesIn& in) {
  require_float(in, 0);
  require_same_dtype(in, 0, 5);
  for (size_t i : {0, 1, 2, 4})
    if (i < 3 || in.has(i)) require_rank(in, i, 4);
  const TensorType &x = in[0], &w = in[1];
  for (size_t d = 0; d < 4; ++d)
    if (!w.dims[d].known()) in.fail("the weight " + to_string(w) + " needs known extents");
  const int64_t results = w.dims[0].value(), per_group = w.dims[1].value();
  if (a.group < 1 || results % a.group != 0)
    in.fail("group " + std::to_string(a.group) + " does not divide " + std::to_string(results) +
            " results");
  const int64_t channels = per_group * a.group;
  require_extent(in, 0, 1, channels);
  if (a.offset_group < 1 || channels % a.offset_group != 0)
    in.fail("offset_group " + std::to_string(a.offset_group) + " does not divide " +
            std::to_string(channels) + " channels");
  check_window(in, a, 2);
  const Dims kernel(w.dims.begin() + 2, w.dims.end());
  for (size_t i = 0; i < a.kernel_shape.size(); ++i)
    if (!kernel[i].is(a.kernel_shape[i]))
      in.fail("kernel_shape is " + to_string(a.kernel_shape) + ", the weight is " + to_string(w));
  if (kernel[0].is(0) || kernel[1].is(0))
    in.fail("the weight " + to_string(w) + " has an empty window");
  Dims y = {x.dims[0], Dim(results)};
  for (Dim& d : window_extents(in, a, spatial_dims(x), kernel)) y.push_back(std::move(d));
  const int64_t readings = a.offset_group * kernel[0].value() * kernel[1].value();
  for (size_t i : {2, 4}) {
    if (!in.has(i)) continue;
    require_extent(in, i, 1, i == 2 ? 2 * readings : readings);
    for (size_t d : {0, 2, 3})
      if (y[d].known()) require_extent(in, i, d, y[d].value());
  }
  if (in.has(3)) {
    require_rank(in, 3, 1);
    require_extent(in, 3, 0, results);
  }
  return {TensorType(x.dtype, std::move(y))};
}

/// Where each kernel element of each result stands along y or x, [1, 1, kernel * results].
Tensor standing(const Geometry& g, bool along_y) {
  const auto& [none, h, w] = g.axes;
  Tensor t(DType::f64, {1, 1, h.kernel * w.kernel * h.out * w.out});
  double* p = t.mutable_data<double>();
  for (int64_t kh = 0; kh < h.kernel; ++kh)
    for (int64_t kw = 0; kw < w.kernel; ++kw)
      for (int64_t oh = 0; oh < h.out; ++oh)
        for (int64_t ow = 0; ow < w.out; ++ow)
          *p++ = double(along_y ? h.position(oh, kh) : w.position(ow, kw));
  return t;
}

/// One coordinate of the four pixels around each reading.
struct Side {
  ValueId at, share;  ///< the pixel, and its share by distance
};
std::array<Side, 2> sides(Builder& b, ValueId position) {
  const ValueId low = b.one("Floor", {position}), part = b.sub(position, low);
  return {Side{low, b.sub(b.scalar(1, part), part)}, Side{b.add(low, 1.0), part}};
}

ValueId within(Builder& b, ValueId at, int64_t extent) {
  const ValueId zero = b.scalar(0, at), last = b.scalar(double(extent - 1), at);
  return b.one("And", {b.one("GreaterOrEqual", {at, zero}), b.one("LessOrEqual", {at, last})});
}

ValueId clipped(Builder& b, ValueId at, int64_t extent) {
  return b.one("Clip", {at, b.scalar(0, at), b.scalar(double(extent - 1), at)});
}

Values expand(const DeformConv& a, Builder& b, const Values& in) {
  const TensorType x = b.type(in[0]), w = b.type(in[1]);
  for (size_t d = 1; d < 4; ++d)
    if (!x.dims[d].known())
      throw unsupported("DeformConv", "the expansion over " + to_string(x) + " needs known extents",
                        "specialise the graph first");
  const int64_t channels = x.dims[1].value(), height = x.dims[2].value(), width = x.dims[3].value();
  const Shape weight = w.shape(), kernel(weight.begin() + 2, weight.end());
  const Geometry g = geometry(a, {height, width}, kernel);
  const int64_t readings = g.kernel_size() * g.out_size(), groups = a.offset_group;
  const DType dtype = x.dtype == DType::f64 ? DType::f64 : DType::f32;  // of coordinates

  const ValueId apart =
      reshape_behind_first(b, in[2], {groups, g.kernel_size(), 2, g.axes[1].out, g.axes[2].out});
  const Values offsets = b.op("Split", {apart, b.ints({1, 1})}, {{"axis", int64_t{3}}});
  const auto position = [&](size_t i) {
    const ValueId offset = b.cast(reshape_behind_first(b, offsets[i], {groups, readings}), dtype);
    return b.add(offset, b.constant(standing(g, i == 0).cast(dtype)));
  };
  const auto rows = sides(b, position(0)), columns = sides(b, position(1));
  const ValueId image = reshape_behind_first(b, in[0], {groups, channels / groups, height * width});
  const ValueId each = b.ints({1, 1, channels / groups, 1}), second = b.ints({2});
  ValueId read = kNoValue;
  for (const Side& row : rows)
    for (const Side& column : columns) {
      const ValueId inside = b.one("And", {within(b, row.at, height), within(b, column.at, width)});
      const ValueId share = b.mul(row.share, column.share);
      const ValueId weight = b.where(inside, share, b.scalar(0, share));
      const ValueId pixel =
          b.add(b.mul(clipped(b, row.at, height), double(width)), clipped(b, column.at, width));
      const ValueId index =
          b.one("Expand", {b.one("Unsqueeze", {b.cast(pixel, DType::i64), second}), each});
      const ValueId value = b.one("GatherElements", {image, index}, {{"axis", int64_t{3}}});
      const ValueId term = b.mul(value, b.one("Unsqueeze", {b.cast(weight, x.dtype), second}));
      read = read == kNoValue ? term : b.add(read, term);
    }
  if (in.size() > 4 && in[4] != kNoValue)
    read = b.mul(read, reshape_behind_first(b, in[4], {groups, 1, readings}));

  const int64_t per_group = weight[1] * g.kernel_size();
  const ValueId patches = reshape_behind_first(b, read, {a.group, per_group, g.out_size()});
  const ValueId matrix = b.reshape(in[1], {a.group, weight[0] / a.group, per_group});
  ValueId y =
      reshape_behind_first(b, b.matmul(matrix, patches), {weight[0], g.axes[1].out, g.axes[2].out});
  if (in.size() > 3 && in[3] != kNoValue) y = b.add(y, b.reshape(in[3], {weight[0], 1, 1}));
  return {y};
}

Cost cost(const DeformConv&, const TypesIn& in, const Types& out) {
  const double macs = double(out[0].tensor().numel()) * double(in[1].numel()) /
                      double(std::max<int64_t>(1, in[1].dims[0].value()));
  Cost cost = contraction(macs, in, out);
  cost.flops += 8 * double(in[2].numel());  // about the four pixels of each reading
  return cost;
}

AxisMap axes(const DeformConv& a, const TypesIn& in, const Types&) {
  AxisMap map;
  const auto tie = [&](const Dim& extent, std::vector<AxisPlace> places, bool zero_passes) {
    if (extent.known()) map.ties.push_back({extent.value(), std::move(places), zero_passes});
  };
  std::vector<AxisPlace> batch = {AxisPlace::in(0, 0), AxisPlace::in(2, 0), AxisPlace::out(0, 0)};
  if (in.has(4)) batch.push_back(AxisPlace::in(4, 0));
  tie(in[0].dims[0], batch, !in.has(3));
  if (a.group != 1) return map;
  std::vector<AxisPlace> results = {AxisPlace::in(1, 0), AxisPlace::out(0, 1)};
  if (in.has(3)) results.push_back(AxisPlace::in(3, 0));
  tie(in[1].dims[0], results, true);
  if (a.offset_group == 1) tie(in[0].dims[1], {AxisPlace::in(0, 1), AxisPlace::in(1, 1)}, true);
  return map;
}

}  // namespace

const Room& deform_conv() {
  using D = DeformConv;
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  const auto offsets = [](Shape shape) { return OperandSpec::ranged(std::move(shape), 0.1, 0.9); };
  static const Room room = make_room<D>({
      .onnx = {"DeformConv", 19},
      .arity = {3, 5},
      .attributes =
          window_fields<D>(false, true, {{"group", &D::group}, {"offset_group", &D::offset_group}}),
      .infer = infer,
      .reference = Derive{},
      .gradient = Derive{},
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .samples = {{{}, {x({1, 2, 4, 4}), x({3, 2, 2, 2}), offsets({1, 8, 3, 3})}},
                  {{{.strides = {2, 1}, .dilations = {1, 2}, .pads = {1, 0, 1, 1}}, 2, 2},
                   {x({2, 4, 5, 4}), x({2, 2, 2, 2}), offsets({2, 16, 3, 3}), x({2}),
                    x({2, 8, 3, 3})}}},
  });
  return room;
}

}  // namespace espalier::ops

// AffineGrid, ONNX opset 20: for each matrix theta [N, 2, 3] (or [N, 3, 4]) the points x that the
// pixels of an image of shape `size` ([N, C, H, W] or [N, C, D, H, W]) are sampled at:
// theta [x y 1]^T with coordinates from -1 to 1, the outermost those of corners (align_corners) or
// of pixels' edges.
#include "base/error.h"
#include "ops/common.h"

namespace espalier::ops {
namespace {

struct AffineGrid {
  bool align_corners = false;
};

Types infer(const AffineGrid&, const TypesIn& in) {
  require_float(in, 0);
  require_rank(in, 0, 3);
  const int64_t axes = list_length(in, 1) - 2;
  if (axes != 2 && axes != 3)
    in.fail("size has " + std::to_string(axes + 2) + " entries", "[N,C,H,W] or [N,C,D,H,W]");
  const TensorType& theta = in[0];
  for (int64_t i = 1; i < 3; ++i)
    if (theta.dims[size_t(i)].known() && !theta.dims[size_t(i)].is(axes + i - 1))
      in.fail("theta is " + to_string(theta) + ", matrices of " + std::to_string(axes) + " by " +
              std::to_string(axes + 1) + " are needed");
  TensorType y(theta.dtype, Dims{theta.dims[0]});
  const auto size = list_of(in, 1);
  for (int64_t i = 0; i < axes; ++i) {
    if (size && (*size)[size_t(i) + 2] < 1)
      in.fail("size " + to_string(*size) + " has an empty image");
    y.dims.push_back(size ? Dim((*size)[size_t(i) + 2]) : Dim::unknown());
  }
  if (size && theta.dims[0].known() && !theta.dims[0].is((*size)[0]))
    in.fail("size " + to_string(*size) + " is not for " + to_string(theta));
  if (size && !theta.dims[0].known()) y.dims[0] = Dim((*size)[0]);
  y.dims.emplace_back(axes);
  return {std::move(y)};
}

double coordinate(bool corners, int64_t i, int64_t extent) {
  if (corners) return extent == 1 ? 0 : -1 + 2 * double(i) / double(extent - 1);
  return (2 * double(i) + 1) / double(extent) - 1;
}

/// Rows [x, y, 1] or [x, y, z, 1] for every pixel in row-major order.
Tensor pixels(bool corners, const Shape& image) {
  const auto axes = int64_t(image.size());
  Tensor points(DType::f64, {numel(image), axes + 1});
  double* p = points.mutable_data<double>();
  const auto strides = strides_of(image);
  for (int64_t i = 0; i < numel(image); ++i) {
    for (int64_t d = 0; d < axes; ++d) {
      const auto axis = size_t(axes - 1 - d);  // x is the last
      p[i * (axes + 1) + d] = coordinate(corners, i / strides[axis] % image[axis], image[axis]);
    }
    p[i * (axes + 1) + axes] = 1;
  }
  return points;
}

Values expand(const AffineGrid& a, Builder& b, const Values& in) {
  const TensorType theta = b.type(in[0]);
  const auto& size = b.graph().value(in[1]).constant;
  if (!size)
    throw unsupported("AffineGrid", "the size is computed while running",
                      "make it a constant of the model");
  const std::vector<int64_t> extents = size->to_i64();
  const Shape image(extents.begin() + 2, extents.end());
  const ValueId points = b.constant(pixels(a.align_corners, image).cast(theta.dtype));
  const ValueId grid = b.matmul(points, b.transpose(in[0], {0, 2, 1}));
  Shape target = {extents[0]};
  target.insert(target.end(), image.begin(), image.end());
  target.push_back(int64_t(image.size()));
  return {b.one("Reshape", {grid, b.ints(target)}, {{"allowzero", int64_t{1}}})};
}

AxisMap axes(const AffineGrid&, const TypesIn&, const Types&) { return {}; }

}  // namespace

const Room& affine_grid() {
  static const Room room = make_room<AffineGrid>({
      .onnx = {"AffineGrid", 20},
      .arity = {2, 2},
      .attributes = {{"align_corners", &AffineGrid::align_corners}},
      .infer = infer,
      .reference = Derive{},
      .gradient = Derive{},
      .cost = Derive{},
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = Derive{},
      .samples = {{{}, {OperandSpec::of({2, 2, 3}), OperandSpec::list({2, 1, 3, 4})}},
                  {{true}, {OperandSpec::of({1, 3, 4}), OperandSpec::list({1, 1, 2, 3, 2})}}},
  });
  return room;
}

}  // namespace espalier::ops

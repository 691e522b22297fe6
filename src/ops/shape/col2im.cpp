// Col2Im, ONNX opset 18: columns [N, C * block, L] become an image [N, C, image...]: each column is
// a block of pixels, laid where a sliding window stood, and what falls on the same pixel is added.
#include "base/error.h"
#include "ops/common.h"
#include "ops/window.h"

namespace espalier::ops {
namespace {

struct Col2Im {
  std::vector<int64_t> dilations = {};
  std::vector<int64_t> pads = {};
  std::vector<int64_t> strides = {};
};

Window window_of(const Col2Im& a, const std::vector<int64_t>& block) {
  return {block, a.strides, a.dilations, a.pads, "NOTSET"};
}

/// The geometry of the window that slides over the image, for checked operands.
Geometry columns_of(const Col2Im& a, const Shape& image, const Shape& block) {
  return geometry(window_of(a, block), image, block);
}

Types infer(const Col2Im& a, const TypesIn& in) {
  require_float(in, 0);
  require_rank(in, 0, 3);
  const int64_t spatial = list_length(in, 1);
  if (spatial < 1 || spatial > 3)
    in.fail("the image has " + std::to_string(spatial) + " axes", "one to three are supported");
  const auto image = list_of(in, 1), block = list_of(in, 2);
  TensorType y(in[0].dtype, Dims{in[0].dims[0], Dim::unknown()});
  if (!image || !block) {
    y.dims.resize(size_t(spatial) + 2, Dim::unknown());
    return {std::move(y)};
  }
  if (block->size() != image->size())
    in.fail("the block " + to_string(*block) + " is not for the image " + to_string(*image));
  for (const auto* list : {&*image, &*block})
    for (int64_t d : *list)
      if (d < 1 || d > (int64_t{1} << 30))
        in.fail("the shape " + to_string(*list) + " is no image");
  const Window w = window_of(a, *block);
  check_window(in, w, size_t(spatial));
  const Dims extents =
      window_extents(in, w, Dims(image->begin(), image->end()), Dims(block->begin(), block->end()));
  const int64_t positions = TensorType(y.dtype, extents).numel(), size = numel(*block);
  const Dim &rows = in[0].dims[1], &columns = in[0].dims[2];
  if (columns.known() && !columns.is(positions))
    in.fail("operand 0 is " + to_string(in[0]) + ", the window has " + std::to_string(positions) +
            " positions");
  if (rows.known()) {
    if (rows.value() % size != 0)
      in.fail(to_string(rows) + " rows are no whole blocks of " + std::to_string(size));
    y.dims[1] = Dim(rows.value() / size);
  }
  for (int64_t d : *image) y.dims.emplace_back(d);
  return {std::move(y)};
}

// A transposed convolution with one kernel element set for each row.
Values expand(const Col2Im& a, Builder& b, const Values& in) {
  const TensorType x = b.type(in[0]);
  const auto& image = b.graph().value(in[1]).constant;
  const auto& block = b.graph().value(in[2]).constant;
  if (!image || !block || !x.dims[1].known())
    throw unsupported("Col2Im", "the expansion of " + to_string(x) + " needs known extents",
                      "specialise the graph first");
  const Shape extents = image->to_i64(), kernel = block->to_i64();
  const int64_t size = numel(kernel), channels = x.dims[1].value() / size;
  const Geometry g = columns_of(a, extents, kernel);
  const size_t lead = g.axes.size() - extents.size();
  std::vector<int64_t> target = {0, channels * size}, more, strides, dilations, begins, ends;
  for (size_t i = 0; i < extents.size(); ++i) {
    const WindowAxis& w = g.axes[lead + i];
    target.push_back(w.out);
    strides.push_back(w.stride);
    dilations.push_back(w.dilation);
    begins.push_back(w.pad_begin);
    ends.push_back(w.pad_end);
    more.push_back(w.in + w.pad_begin + w.pad_end - (w.stride * (w.out - 1) + w.reach()));
  }
  begins.insert(begins.end(), ends.begin(), ends.end());
  Shape weight_shape = {channels * size, 1};
  weight_shape.insert(weight_shape.end(), kernel.begin(), kernel.end());
  Tensor weight(DType::f32, weight_shape);
  for (int64_t i = 0; i < channels * size; ++i)
    weight.mutable_data<float>()[i * size + i % size] = 1;
  return {b.one("ConvTranspose", {b.reshape(in[0], target), b.constant(weight.cast(x.dtype))},
                {{"group", channels},
                 {"strides", strides},
                 {"dilations", dilations},
                 {"pads", begins},
                 {"output_padding", more}})};
}

Cost cost(const Col2Im&, const TypesIn& in, const Types& out) {
  return {0, double(in[0].numel()), traffic(in, out)};
}

AxisMap axes(const Col2Im&, const TypesIn& in, const Types& out) {
  AxisMap map;
  const TensorType& y = out[0].tensor();
  if (in[0].dims[0].known())
    map.ties.push_back({in[0].dims[0].value(), {AxisPlace::in(0, 0), AxisPlace::out(0, 0)}});
  if (y.dims[1].known() && in[0].dims[1].known() && y.dims[1].value() > 0)
    map.ties.push_back(
        {y.dims[1].value(),
         {AxisPlace::in(0, 1, in[0].dims[1].value() / y.dims[1].value()), AxisPlace::out(0, 1)}});
  return map;
}

}  // namespace

const Room& col2im() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  const auto list = [](std::vector<int64_t> v) { return OperandSpec::list(std::move(v)); };
  static const Room room = make_room<Col2Im>({
      .onnx = {"Col2Im", 18},
      .arity = {3, 3},
      .attributes = {{"dilations", &Col2Im::dilations},
                     {"pads", &Col2Im::pads},
                     {"strides", &Col2Im::strides}},
      .infer = infer,
      .reference = Derive{},
      .gradient = Derive{},
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = Derive{},
      .samples = {{{}, {x({1, 2 * 4, 4 * 4}), list({5, 5}), list({2, 2})}},
                  {{{1, 2}, {0, 1, 0, 1}, {2, 1}},
                   {x({2, 3 * 4, 2 * 4}), list({5, 4}), list({2, 2})}},
                  {{{}, {}, {2}}, {x({1, 3, 2}), list({6}), list({3})}}},
  });
  return room;
}

}  // namespace espalier::ops

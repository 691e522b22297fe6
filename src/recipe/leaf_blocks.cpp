// Blocks without blocks inside: convolutions, linear layers, normalisations, pools, activations.
#include <algorithm>
#include <array>
#include <cmath>
#include <variant>

#include "base/error.h"
#include "recipe/blocks.h"
#include "recipe/initialise.h"
#include "recipe/token_blocks.h"

namespace espalier {
namespace {

/// One number for all spatial axes, or one for each.
std::vector<int64_t> per_axis(const Yaml& v, size_t axes, int64_t lo, const std::string& what) {
  std::vector<int64_t> values;
  if (v.is_scalar()) {
    values.assign(axes, v.integer());
  } else {
    for (const Yaml& item : v.items()) values.push_back(item.integer());
    if (values.size() != axes)
      v.fail(what + " has " + std::to_string(values.size()) + " numbers, the input has " +
             std::to_string(axes) + " spatial axes");
  }
  for (int64_t n : values)
    if (n < lo) v.fail(what + " must be at least " + std::to_string(lo));
  return values;
}

/// The channels (axis 1) of an input that must be known.
int64_t channels(BlockBuilder& b, const Fields& fields, ValueId x) {
  const TensorType& t = b.builder().type(x);
  if (t.rank() < 2 || !t.dims[1].known())
    fields.map().fail(fields.what() + " needs known channels on axis 1, its input is " +
                      to_string(t));
  return t.dims[1].value();
}

size_t spatial_axes(BlockBuilder& b, const Fields& fields, ValueId x) {
  const TensorType& t = b.builder().type(x);
  if (t.rank() < 3)
    fields.map().fail(fields.what() + " needs an input of at least 3 axes, it gets " +
                      to_string(t));
  return size_t(t.rank() - 2);
}

/// kernel, stride, padding and dilation as ONNX attributes.
struct Window {
  std::vector<int64_t> kernel;
  AttributeMap attributes;
};

Window window(Fields& fields, size_t axes, bool dilated) {
  Window w;
  w.kernel = per_axis(fields.require("kernel"), axes, 1, "kernel");
  w.attributes["kernel_shape"] = w.kernel;
  const Yaml* stride = fields.find("stride");
  w.attributes["strides"] =
      stride ? per_axis(*stride, axes, 1, "stride") : std::vector<int64_t>(axes, 1);
  if (const Yaml* dilation = dilated ? fields.find("dilation") : nullptr)
    w.attributes["dilations"] = per_axis(*dilation, axes, 1, "dilation");
  const Yaml* padding = fields.find("padding");
  if (!padding) return w;
  if (padding->is_scalar() && padding->text() == "same") {
    w.attributes["auto_pad"] = std::string("SAME_UPPER");
    return w;
  }
  std::vector<int64_t> pads;
  if (padding->is_list() && padding->items().size() == 2 * axes) {
    pads = per_axis(*padding, 2 * axes, 0, "padding");
  } else {
    pads = per_axis(*padding, axes, 0, "padding");
    pads.insert(pads.end(), pads.begin(), pads.begin() + int64_t(axes));
  }
  w.attributes["pads"] = pads;
  return w;
}

double area(const std::vector<int64_t>& kernel) {
  double n = 1;
  for (int64_t k : kernel) n *= double(k);
  return n;
}

ValueId convolve(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name, int64_t out,
                 int64_t groups) {
  const int64_t in = channels(b, fields, x);
  if (groups < 1 || in % groups || out % groups)
    fields.map().fail("groups is " + std::to_string(groups) + ", it must divide " +
                      std::to_string(in) + " input and " + std::to_string(out) +
                      " output channels");
  Window w = window(fields, spatial_axes(b, fields, x), true);
  if (groups != 1) w.attributes["group"] = groups;
  Shape shape = {out, in / groups};
  shape.insert(shape.end(), w.kernel.begin(), w.kernel.end());
  Values operands = {
      x, b.he_weight(name + ".weight", shape, area(w.kernel) * double(out) / double(groups))};
  if (fields.boolean("bias", true)) {
    const double fan_in = area(w.kernel) * double(in) / double(groups);
    operands.push_back(b.uniform_parameter(name + ".bias", {out}, 1 / std::sqrt(fan_in)));
  }
  return b.builder().one("Conv", operands, w.attributes, name);
}

ValueId conv(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  const int64_t groups = fields.integer("groups", 1, 1);
  return convolve(b, fields, x, name, fields.require_integer("out", 1), groups);
}

ValueId depthwise_conv(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  const int64_t in = channels(b, fields, x);
  return convolve(b, fields, x, name, in * fields.integer("multiplier", 1, 1), in);
}

// The gradient of a convolution: windows of its result, one for each place of its input.
ValueId conv_transpose(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  const int64_t in = channels(b, fields, x), out = fields.require_integer("out", 1);
  const Window w = window(fields, spatial_axes(b, fields, x), true);
  Shape shape = {in, out};
  shape.insert(shape.end(), w.kernel.begin(), w.kernel.end());
  // Each element of the result is a sum over the inputs whose windows hold it.
  double windows = area(w.kernel);
  for (int64_t s : std::get<std::vector<int64_t>>(w.attributes.at("strides"))) windows /= double(s);
  const double summed = double(in) * std::max(1.0, windows);
  Values operands = {x, b.he_weight(name + ".weight", shape, summed)};
  if (fields.boolean("bias", true))
    operands.push_back(b.uniform_parameter(name + ".bias", {out}, 1 / std::sqrt(summed)));
  return b.builder().one("ConvTranspose", operands, w.attributes, name);
}

ValueId linear(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  const TensorType type = b.builder().type(x);
  if (type.rank() < 2 || type.rank() > 3 || !type.dims.back().known())
    fields.map().fail(
        "linear needs an input [N, features] or [N, tokens, features], it gets " + to_string(type),
        "put flatten before it");
  const int64_t in = type.dims.back().value(), out = fields.require_integer("out", 1);
  if (type.rank() == 3) return dense_layer(b, fields, x, name, in, out);
  Values operands = linear_parameters(b, fields, name, in, out);
  operands.insert(operands.begin(), x);
  return b.builder().one("Gemm", operands, {{"transB", int64_t{1}}}, name);
}

ValueId batch_norm(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  const Shape shape = {channels(b, fields, x)};
  const AttributeMap attributes = {
      {"epsilon", float(fields.number("epsilon", 1e-5, 0, 1))},
      {"momentum", float(fields.number("momentum", 0.9, 0, 1))},
  };
  const float gamma = float(fields.number("initial_scale", 1));
  const Values operands = {x, b.constant_parameter(name + ".weight", shape, gamma),
                           b.constant_parameter(name + ".bias", shape, 0),
                           b.buffer(name + ".running_mean", shape, 0),
                           b.buffer(name + ".running_var", shape, 1)};
  return b.builder().one("BatchNormalization", operands, attributes, name);
}

ValueId group_norm(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  const int64_t own = channels(b, fields, x), groups = fields.require_integer("groups", 1);
  if (own % groups)
    fields.map().fail("groups is " + std::to_string(groups) + ", it must divide " +
                      std::to_string(own) + " channels");
  const Values operands = {x, b.constant_parameter(name + ".weight", {own}, 1),
                           b.constant_parameter(name + ".bias", {own}, 0)};
  return b.builder().one(
      "GroupNormalization", operands,
      {{"num_groups", groups}, {"epsilon", float(fields.number("epsilon", 1e-5, 0, 1))}}, name);
}

ValueId layer_norm(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  const TensorType type = b.builder().type(x);
  if (type.rank() < 1 || !type.dims.back().known())
    fields.map().fail("layer_norm needs a known last axis, its input is " + to_string(type));
  const Shape shape = {type.dims.back().value()};
  const Values operands = {x, b.constant_parameter(name + ".weight", shape, 1),
                           b.constant_parameter(name + ".bias", shape, 0)};
  return b.builder().one("LayerNormalization", operands,
                         {{"epsilon", float(fields.number("epsilon", 1e-5, 0, 1))}}, name);
}

// x over the root mean square of its elements along an axis; 0 where that is 0.
ValueId length_norm(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  const int64_t axis = fields.integer("axis", 1, 1, 8);
  const TensorType type = b.builder().type(x);
  if (axis >= type.rank() || !type.dims[size_t(axis)].known())
    fields.map().fail("length_norm needs a known axis " + std::to_string(axis) + ", its input is " +
                      to_string(type));
  const ValueId unit = b.builder().one("LpNormalization", {x}, {{"axis", axis}}, name);
  return b.builder().mul(unit, std::sqrt(double(type.dims[size_t(axis)].value())));
}

// A label that favours no class, in the place of each sample's first elements, one for each class.
ValueId label(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  const int64_t classes = fields.require_integer("classes", 2);
  const double scale = fields.number("scale", 1, 1e-6, 1e6);
  const TensorType type = b.builder().type(x);
  Shape shape = {1};
  for (size_t d = 1; d < type.dims.size(); ++d)
    shape.push_back(type.dims[d].known() ? type.dims[d].value() : 0);
  if (type.dtype != DType::f32 || numel(shape) < classes)
    fields.map().fail("label needs samples of at least " + std::to_string(classes) +
                      " numbers, its input is " + to_string(type));
  Tensor kept = filled(shape, 1), neutral = filled(shape, 0);
  for (int64_t c = 0; c < classes; ++c) {
    kept.mutable_data<float>()[c] = 0;
    neutral.mutable_data<float>()[c] = float(scale / double(classes));
  }
  if (b.builder().graph().find("neutral_label") != kNoValue)
    fields.map().fail("the network has a 'neutral_label' already");
  return b.builder().add(b.builder().mul(x, b.builder().constant(kept, name + ".kept")),
                         b.builder().constant(neutral, "neutral_label"));
}

ValueId max_pool(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  const Window w = window(fields, spatial_axes(b, fields, x), false);
  return b.builder().one("MaxPool", {x}, w.attributes, name);
}

ValueId average_pool(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  Window w = window(fields, spatial_axes(b, fields, x), false);
  w.attributes["count_include_pad"] = int64_t{fields.boolean("count_padding", false)};
  return b.builder().one("AveragePool", {x}, w.attributes, name);
}

ValueId global_average_pool(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  spatial_axes(b, fields, x);
  return b.builder().one("GlobalAveragePool", {x}, {}, name);
}

ValueId flatten(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  return b.builder().one("Flatten", {x}, {{"axis", fields.integer("axis", 1, 0, 8)}}, name);
}

// [N, C, ...] as [N, ..., C]: classes of places where a loss over labels reads them.
ValueId channels_last(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  std::vector<int64_t> order = {0};
  for (size_t axis = 0; axis < spatial_axes(b, fields, x); ++axis)
    order.push_back(int64_t(axis) + 2);
  order.push_back(1);
  return b.builder().one("Transpose", {x}, {{"perm", order}}, name);
}

ValueId dropout(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  const auto ratio = float(fields.number("ratio", 0.5, 0, 0.999));
  const ValueId operand = b.builder().constant(Tensor::scalar(ratio), name + ".ratio");
  return b.builder().op("Dropout", {x, operand}, {}, name).at(0);
}

ValueId softmax(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  return b.builder().one("Softmax", {x}, {{"axis", fields.integer("axis", -1, -8, 8)}}, name);
}

ValueId relu(BlockBuilder& b, Fields&, ValueId x, const std::string& name) {
  return b.builder().one("Relu", {x}, {}, name);
}

ValueId relu6(BlockBuilder& b, Fields&, ValueId x, const std::string& name) {
  return b.builder().one("Clip", {x, b.builder().scalar(0, x), b.builder().scalar(6, x)}, {}, name);
}

ValueId leaky_relu(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  return b.builder().one("LeakyRelu", {x}, {{"alpha", float(fields.number("slope", 0.01))}}, name);
}

ValueId sigmoid(BlockBuilder& b, Fields&, ValueId x, const std::string& name) {
  return b.builder().one("Sigmoid", {x}, {}, name);
}

ValueId tanh_block(BlockBuilder& b, Fields&, ValueId x, const std::string& name) {
  return b.builder().one("Tanh", {x}, {}, name);
}

ValueId gelu(BlockBuilder& b, Fields&, ValueId x, const std::string& name) {
  return b.builder().one("Gelu", {x}, {}, name);
}

ValueId hard_sigmoid(BlockBuilder& b, Fields&, ValueId x, const std::string& name) {
  return b.builder().one("HardSigmoid", {x}, {{"alpha", 1.0f / 6}, {"beta", 0.5f}}, name);
}

ValueId hard_swish(BlockBuilder& b, Fields&, ValueId x, const std::string& name) {
  return b.builder().one("HardSwish", {x}, {}, name);
}

ValueId silu(BlockBuilder& b, Fields&, ValueId x, const std::string& name) {
  return b.builder().mul(x, b.builder().one("Sigmoid", {x}, {}, name));
}

constexpr std::array kLeaves = {
    LeafType{"conv", conv},
    LeafType{"depthwise_conv", depthwise_conv},
    LeafType{"conv_transpose", conv_transpose},
    LeafType{"linear", linear},
    LeafType{"batch_norm", batch_norm},
    LeafType{"layer_norm", layer_norm},
    LeafType{"group_norm", group_norm},
    LeafType{"length_norm", length_norm},
    LeafType{"label", label},
    LeafType{"max_pool", max_pool},
    LeafType{"average_pool", average_pool},
    LeafType{"global_average_pool", global_average_pool},
    LeafType{"flatten", flatten},
    LeafType{"channels_last", channels_last},
    LeafType{"dropout", dropout},
    LeafType{"softmax", softmax},
    LeafType{"relu", relu},
    LeafType{"relu6", relu6},
    LeafType{"leaky_relu", leaky_relu},
    LeafType{"sigmoid", sigmoid},
    LeafType{"tanh", tanh_block},
    LeafType{"gelu", gelu},
    LeafType{"hard_sigmoid", hard_sigmoid},
    LeafType{"hard_swish", hard_swish},
    LeafType{"silu", silu},
};

}  // namespace

LeafBlock find_leaf_block(const std::string& type) {
  for (const auto leaves : {std::span<const LeafType>(kLeaves), token_blocks()})
    for (const LeafType& leaf : leaves)
      if (type == leaf.type) return leaf.build;
  return nullptr;
}

std::vector<std::string> leaf_block_types() {
  std::vector<std::string> types;
  for (const auto leaves : {std::span<const LeafType>(kLeaves), token_blocks()})
    for (const LeafType& leaf : leaves) types.emplace_back(leaf.type);
  return types;
}

}  // namespace espalier

// Adapters of layers: normalisations, softmax and its kin, dropout, Gemm, recurrent layers, pools
// by norms, random numbers.
#include <array>
#include <cmath>
#include <cstring>

#include "base/rng.h"
#include "onnx/adapt.h"

namespace espalier {
namespace {

using Result = std::optional<Values>;

Values renormalised_per_element(Call& c, float epsilon) {
  // y = (x - mean) / sqrt(var + epsilon) * scale + bias with statistics of every element.
  Builder& b = c.b;
  const ValueId deviation = b.sqrt(b.add(c.inputs[4], epsilon));
  const ValueId normal = b.div(b.sub(c.inputs[0], c.inputs[3]), deviation);
  return {b.add(b.mul(normal, c.inputs[1]), c.inputs[2])};
}

// Before opset 9 statistics could be per element; before opset 7 a flag said whether to train.
// Before opset 14 results after the first meant training, which an imported network does not.
Result old_batch_norm(Call& c) {
  const bool spatial = c.take_int("spatial").value_or(1) != 0;
  const auto is_test = c.take_int("is_test");
  if (c.opset < 7 && is_test.value_or(0) == 0 && c.outputs.size() > 1)
    c.refuse("is in training mode", "export the network for inference");
  c.outputs.resize(1);
  for (size_t i = 0; i < 5; ++i) c.type(i);
  const bool per_element = !spatial && c.type(3).rank() > 1;
  if (per_element) return renormalised_per_element(c, c.take_float("epsilon").value_or(1e-5f));
  return std::nullopt;
}

// Before opset 13 all axes from `axis` (1 by default) on were one: flattened to a matrix whose rows
// sum to one. The last axis alone is what later opsets mean, as are trailing extents of 1.
Result flattened_rows(Call& c) {
  const TensorType type = c.type(0);
  const int64_t axis = normal_axis(c.take_int("axis").value_or(1), type.rank(), c.where);
  int64_t last = type.rank() - 1;
  while (last > axis && type.dims[size_t(last)].is(1)) --last;
  if (last == axis) {
    c.attrs["axis"] = axis;
    return std::nullopt;
  }
  Builder& b = c.b;
  const ValueId rows = b.one("Flatten", {c.inputs[0]}, {{"axis", axis}});
  const ValueId result = b.one(c.op, {rows}, {{"axis", int64_t{-1}}}, c.name);
  const ValueId shape = type.is_static() ? b.ints(type.shape()) : b.one("Shape", {c.inputs[0]});
  return Values{b.one("Reshape", {result, shape})};
}

// Before opset 12 the ratio was an attribute; before opset 7 a flag said whether to train.
Result ratio_to_operand(Call& c) {
  c.attrs.erase("is_test");
  if (const auto ratio = c.take_float("ratio"))
    c.set_input(1, c.b.constant(Tensor::scalar<float>(*ratio)));
  return std::nullopt;
}

// Operand 2 always broadcasts since opset 7.
Result drop_broadcast(Call& c) {
  c.attrs.erase("broadcast");
  return std::nullopt;
}

Result drop_output_sequence(Call& c) {
  c.attrs.erase("output_sequence");
  return std::nullopt;
}

// Before opset 9 the statistics could be pooled across channels, all axes but the first.
Result across_channels(Call& c) {
  if (c.take_int("normalize_variance").value_or(1) == 0)
    c.refuse("subtracts means alone (normalize_variance is 0)");
  if (c.take_int("across_channels").value_or(0) != 0) {
    std::vector<int64_t> axes;
    for (int64_t i = 1; i < c.type(0).rank(); ++i) axes.push_back(i);
    c.attrs["axes"] = axes;
  }
  return std::nullopt;
}

/// `v` with one element for each of `groups` groups, spelled out for each of `channels` channels.
/// Constants are spelled out themselves, so that a weight stays a direct operand.
ValueId per_channel(Call& c, ValueId v, int64_t groups, int64_t channels) {
  constexpr int64_t kMostSpelledOut = int64_t{1} << 24;
  const std::vector<int64_t> expanded = {groups, channels / groups};
  const auto& constant = c.b.graph().value(v).constant;
  if (constant && channels <= kMostSpelledOut) {
    Tensor t(constant->dtype(), {channels});
    const size_t size = size_of(t.dtype());
    for (int64_t i = 0; i < channels; ++i)
      std::memcpy(
          static_cast<char*>(t.mutable_raw()) + size_t(i) * size,
          static_cast<const char*>(constant->raw()) + size_t(i / (channels / groups)) * size, size);
    return c.b.constant(std::move(t));
  }
  const ValueId column = c.b.one("Unsqueeze", {v, c.b.ints({1})});
  return c.b.reshape(c.b.one("Expand", {column, c.b.ints(expanded)}), {channels});
}

// Before opset 21 scale and bias belonged to groups.
Result scale_of_groups(Call& c) {
  const auto it = c.attrs.find("num_groups");
  const auto* groups = it == c.attrs.end() ? nullptr : std::get_if<int64_t>(&it->second);
  if (!groups || *groups < 1) return std::nullopt;  // the room says what is wrong
  const TensorType type = c.type(0);
  if (type.rank() < 2 || !type.dims[1].known())
    c.refuse("scales groups of " + to_string(type) + ", whose channels are not known");
  const int64_t channels = type.dims[1].value();
  if (channels % *groups != 0) return std::nullopt;
  for (size_t i = 1; i < 3; ++i) {
    if (!(c.type(i).rank() == 1 && c.type(i).dims[0].is(*groups)))
      c.malformed("operand " + std::to_string(i) + " is " + to_string(c.type(i)) + " for " +
                  std::to_string(*groups) + " groups");
    if (c.type(i).dtype == DType::string || c.type(i).dtype != type.dtype)
      c.malformed("operands differ in their element types");
    c.inputs[i] = per_channel(c, c.inputs[i], *groups, channels);
  }
  return std::nullopt;
}

// In opset 1 p was a float.
Result whole_power(Call& c) {
  const auto p = c.take_float("p");
  if (!p) return std::nullopt;
  if (*p != std::floor(*p) || !(std::abs(*p) < 1e6f))
    c.refuse("the norm of p = " + std::to_string(*p) + " is not supported", "p must be whole");
  c.attrs["p"] = int64_t(*p);
  return std::nullopt;
}

// Without a seed each node draws numbers of its own: its name decides which.
Result seed_from_name(Call& c) {
  if (c.attrs.contains("seed")) return std::nullopt;
  const std::string& name = !c.name.empty() || c.outputs.empty() ? c.name : c.outputs[0];
  c.attrs["seed"] = float(stream_of(name) & 0xFFFFFF);  // exact in a float
  return std::nullopt;
}

constexpr std::array kAdapters = {
    Adapter{"BatchNormalization", 1, 14, old_batch_norm},
    Adapter{"Softmax", 1, 13, flattened_rows},
    Adapter{"LogSoftmax", 1, 13, flattened_rows},
    Adapter{"Hardmax", 1, 13, flattened_rows},
    Adapter{"Dropout", 1, 12, ratio_to_operand},
    Adapter{"Gemm", 1, 7, drop_broadcast},
    Adapter{"LSTM", 1, 7, drop_output_sequence},
    Adapter{"GRU", 1, 7, drop_output_sequence},
    Adapter{"RNN", 1, 7, drop_output_sequence},
    Adapter{"MeanVarianceNormalization", 1, 9, across_channels},
    Adapter{"GroupNormalization", 1, 21, scale_of_groups},
    Adapter{"LpPool", 1, 2, whole_power},
    Adapter{"GlobalLpPool", 1, 2, whole_power},
    Adapter{"RandomNormal", 1, kEveryOpset, seed_from_name},
    Adapter{"RandomUniform", 1, kEveryOpset, seed_from_name},
    Adapter{"RandomNormalLike", 1, kEveryOpset, seed_from_name},
    Adapter{"RandomUniformLike", 1, kEveryOpset, seed_from_name},
    Adapter{"Bernoulli", 1, kEveryOpset, seed_from_name},
    Adapter{"Multinomial", 1, kEveryOpset, seed_from_name},
};

}  // namespace

std::span<const Adapter> layer_adapters() { return kAdapters; }

}  // namespace espalier

// Adapters of layers: normalisations, softmax and its kin, dropout, Gemm, recurrent layers.
#include <array>

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
  c.take_int("normalize_variance");
  if (c.take_int("across_channels").value_or(0) != 0) {
    std::vector<int64_t> axes;
    for (int64_t i = 1; i < c.type(0).rank(); ++i) axes.push_back(i);
    c.attrs["axes"] = axes;
  }
  return std::nullopt;
}

/// `v`, one number for each group, repeated for the channels of the group.
ValueId of_channels(Call& c, ValueId v, int64_t groups, int64_t channels) {
  Builder& b = c.b;
  if (const auto& constant = b.graph().value(v).constant) {
    Tensor each(constant->dtype(), {channels});
    visit_numeric(each.dtype(), [&](auto zero) {
      using T = decltype(zero);
      for (int64_t i = 0; i < channels; ++i)
        each.mutable_data<T>()[i] = constant->data<T>()[i / (channels / groups)];
    });
    return b.constant(std::move(each));
  }
  const ValueId columns = b.one("Unsqueeze", {v, b.ints({1})});
  return b.reshape(b.one("Expand", {columns, b.ints({groups, channels / groups})}), {channels});
}

// GroupNormalization (Wu & He, arXiv:1803.08494), opsets 18 and 21: the groups of channels are the
// channels of an instance normalisation. Before opset 21 scale and bias belonged to groups.
Result group_normalization(Call& c) {
  const auto groups = c.take_int("num_groups");
  const float epsilon = c.take_float("epsilon").value_or(1e-5f);
  c.take_int("stash_type");
  c.expect(3, 3);
  const TensorType x = c.type(0);
  if (x.rank() < 3) c.malformed("takes [N,C,...] with spatial axes");
  if (!x.dims[1].known()) c.refuse("needs a known number of channels");
  const int64_t channels = x.dims[1].value();
  if (!groups || *groups < 1 || channels % *groups != 0)
    c.malformed("num_groups does not divide " + std::to_string(channels) + " channels");
  const int64_t each = c.opset < 21 ? *groups : channels;
  for (size_t i = 1; i < 3; ++i)
    if (c.type(i).rank() != 1 || !(c.type(i).dims[0].is(each) || !c.type(i).dims[0].known()))
      c.malformed("operand " + std::to_string(i) + " is " + to_string(c.type(i)) + ", " +
                  std::to_string(each) + " numbers are needed");
  Builder& b = c.b;
  const auto list = [&](float value) {
    const std::vector<float> values(size_t(*groups), value);
    return c.setting(Tensor::from<float>({*groups}, std::span(values)).cast(x.dtype));
  };
  const ValueId grouped = b.reshape(c.inputs[0], {0, *groups, -1});
  const ValueId normal =
      b.one("InstanceNormalization", {grouped, list(1), list(0)}, {{"epsilon", epsilon}}, c.name);
  const ValueId shape = x.is_static() ? b.ints(x.shape()) : b.one("Shape", {c.inputs[0]});
  ValueId y = b.one("Reshape", {normal, shape});
  std::vector<int64_t> along(size_t(x.rank()) - 1, 1);
  along[0] = channels;
  for (size_t i = 1; i < 3; ++i) {
    const ValueId list =
        c.opset < 21 ? of_channels(c, c.inputs[i], *groups, channels) : c.inputs[i];
    const auto& constant = b.graph().value(list).constant;
    const ValueId broad = constant ? b.constant(constant->reshaped(along)) : b.reshape(list, along);
    y = i == 1 ? b.mul(y, broad) : b.add(y, broad);
  }
  return Values{y};
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
    Adapter{"GroupNormalization", 18, kEveryOpset, group_normalization, "InstanceNormalization"},
};

}  // namespace

std::span<const Adapter> layer_adapters() { return kAdapters; }

}  // namespace espalier

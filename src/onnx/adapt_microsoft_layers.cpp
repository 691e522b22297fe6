// ONNX Runtime's fused layers written in standard operators (com.microsoft, version 1):
// normalisations with what stands before them, products and convolutions with an activation,
// variants of GELU, rotary embedding.
#include <algorithm>
#include <array>
#include <utility>

#include "ir/room.h"
#include "onnx/adapt_attention.h"
#include "onnx/adapt_microsoft.h"

namespace espalier {
namespace {

using Result = std::optional<Values>;

// ---- normalisations -----------------------------------------------------------------------------

struct Scaled {
  ValueId y, inverse;
};

/// x / sqrt(mean(x^2) + epsilon) * scale over the axes from `axis` on, summed in f32 at least.
Scaled scaled_by_size(Call& c, ValueId x, ValueId scale, int64_t axis, float epsilon) {
  Builder& b = c.b;
  const TensorType type = b.type(x);
  const DType wide = type.dtype == DType::f64 ? DType::f64 : DType::f32;
  std::vector<int64_t> over;
  for (int64_t i = normal_axis(axis, type.rank(), c.where); i < type.rank(); ++i) over.push_back(i);
  const ValueId w = b.cast(x, wide);
  const ValueId size = b.sqrt(b.add(b.reduce_mean(b.mul(w, w), over), double(epsilon)));
  const ValueId normal = b.cast(b.div(w, size), type.dtype);
  return {b.mul(normal, b.cast(scale, type.dtype)), b.one("Reciprocal", {size})};
}

// x, scale. ONNX Runtime files it under ai.onnx too.
Result simplified_layer_norm(Call& c) {
  const int64_t axis = c.take_int("axis").value_or(-1);
  const float epsilon = c.take_float("epsilon").value_or(1e-5f);
  c.take_int("stash_type");
  c.expect(2, 2);
  for (size_t i = 0; i < 2; ++i) c.type(i);  // under ai.onnx nobody asked yet
  const Scaled s = scaled_by_size(c, c.inputs[0], c.inputs[1], axis, epsilon);
  return Values{s.y, s.inverse};
}

/// x + skip (+ bias), under a name of its own.
ValueId residual_sum(Call& c, size_t bias) {
  if (c.type(0).rank() < 2 || c.type(1).rank() > c.type(0).rank())
    c.malformed("cannot add " + to_string(c.type(1)) + " to " + to_string(c.type(0)));
  const ValueId sum = c.b.add(c.inputs[0], c.inputs[1]);
  return c.has(bias) ? c.b.add(sum, c.inputs[bias]) : sum;
}

/// Results y, mean and inverse deviation of a normalisation and the sum it normalised. The two in
/// the middle are for training.
Values with_sum(Call& c, ValueId y, ValueId sum) {
  if (c.wants(1) || c.wants(2))
    c.refuse("is asked for its statistics", "export the network for inference");
  return {y, kNoValue, kNoValue, sum};
}

// x, skip, gamma, beta, bias.
Result skip_layer_norm(Call& c) {
  const float epsilon = c.take_float("epsilon").value_or(1e-12f);
  c.expect(3, 5);
  const ValueId sum = residual_sum(c, 4);
  Values operands = {sum, c.inputs[2]};
  if (c.has(3)) operands.push_back(c.inputs[3]);
  const ValueId y = c.b.op("LayerNormalization", operands,
                           {{"axis", int64_t{-1}}, {"epsilon", epsilon}}, c.name)[0];
  return with_sum(c, y, sum);
}

// x, skip, gamma, bias.
Result skip_simplified_layer_norm(Call& c) {
  const float epsilon = c.take_float("epsilon").value_or(1e-12f);
  c.expect(3, 4);
  const ValueId sum = residual_sum(c, 3);
  return with_sum(c, scaled_by_size(c, sum, c.inputs[2], -1, epsilon).y, sum);
}

// Ids [B,S], segments, tables of words, positions and segments, gamma, beta, mask, positions.
Result embed_layer_norm(Call& c) {
  const float epsilon = c.take_float("epsilon").value_or(1e-12f);
  c.take_int("mask_index_type");
  if (c.inputs.size() < 7) c.malformed("needs 7 operands, two of which may be omitted");
  for (size_t i : {0, 2, 3, 5, 6})
    if (!c.has(i)) c.malformed("operand " + std::to_string(i) + " is missing");
  c.expect(1, 9);
  require_rank(c, 0, 2);
  require_rank(c, 3, 2);
  if (c.has(1) != c.has(4)) c.malformed("has segments or a table of segments alone");
  Builder& b = c.b;
  const AttributeMap rows = {{"axis", int64_t{0}}};
  ValueId sum = b.one("Gather", {c.inputs[2], c.inputs[0]}, rows);
  if (c.has(8)) {
    sum = b.add(sum, b.one("Gather", {c.inputs[3], c.inputs[8]}, rows));
  } else {
    const ValueId length = extent_list(b, c.inputs[0], 1);
    sum = b.add(sum, b.one("Slice", {c.inputs[3], b.ints({0}), length, b.ints({0})}));
  }
  if (c.has(1)) sum = b.add(sum, b.one("Gather", {c.inputs[4], c.inputs[1]}, rows));
  const Values normal = b.op("LayerNormalization", {sum, c.inputs[5], c.inputs[6]},
                             {{"axis", int64_t{-1}}, {"epsilon", epsilon}}, c.name);
  Values results = {normal[0]};
  if (c.wants(1) || c.wants(2)) {
    // How many words each sequence has; none without a mask.
    const ValueId mask = c.has(7) ? c.inputs[7] : b.mul(c.inputs[0], 0.0);
    results.push_back(b.reduce_sum(b.cast(mask, DType::i32), {1}, false));
    results.push_back(sum);
  }
  return results;
}

// ---- activations --------------------------------------------------------------------------------

Result gelu(Call& c) {
  c.expect(1, 1);
  return Values{c.b.one("Gelu", c.inputs, {}, c.name)};
}

Result bias_gelu(Call& c) {
  c.expect(2, 2);
  return Values{c.b.one("Gelu", {c.b.add(c.inputs[0], c.inputs[1])}, {}, c.name)};
}

Result fast_gelu(Call& c) {
  c.expect(1, 2);
  const ValueId x = c.has(1) ? c.b.add(c.inputs[0], c.inputs[1]) : c.inputs[0];
  return Values{c.b.one("Gelu", {x}, {{"approximate", std::string("tanh")}}, c.name)};
}

// x sigmoid(alpha x)
Result quick_gelu(Call& c) {
  const float alpha = c.take_float("alpha").value_or(1.702f);
  c.expect(1, 1);
  const ValueId gate = c.b.one("Sigmoid", {c.b.mul(c.inputs[0], double(alpha))});
  return Values{c.b.mul(c.inputs[0], gate)};
}

/// The activation that a fused operator names, with its parameters in order; those that are left
/// out have their defaults.
ValueId activated(Call& c, ValueId y, const std::string& name,
                  const std::vector<std::optional<float>>& params) {
  Builder& b = c.b;
  const auto parameter = [&](size_t i, float otherwise) {
    return i < params.size() ? params[i].value_or(otherwise) : otherwise;
  };
  if (name.empty() || name == "Identity") return y;
  if (name == "Relu" || name == "Tanh" || name == "Sigmoid" || name == "Softplus" ||
      name == "Softsign" || name == "Gelu" || name == "HardSwish")
    return b.one(name, {y});
  if (name == "LeakyRelu" || name == "Elu" || name == "ThresholdedRelu")
    return b.one(name, {y}, {{"alpha", parameter(0, name == "LeakyRelu" ? 0.01f : 1.0f)}});
  if (name == "HardSigmoid")
    return b.one(name, {y}, {{"alpha", parameter(0, 0.2f)}, {"beta", parameter(1, 0.5f)}});
  if (name == "Clip") {
    if (params.size() < 2 || !params[0] || !params[1]) c.malformed("needs two bounds for its Clip");
    return b.one(name, {y, b.scalar(double(*params[0]), y), b.scalar(double(*params[1]), y)});
  }
  c.refuse("applies '" + name + "', which is not supported");
}

// ---- products -----------------------------------------------------------------------------------

/// The matrices of v as asked: batch axes behind the first matrix axis (`batch`), then the
/// last two swapped.
ValueId oriented(Call& c, ValueId v, bool swap, bool batch) {
  const int64_t rank = c.b.type(v).rank();
  std::vector<int64_t> order;
  for (int64_t i = 0; i < rank; ++i) order.push_back(i);
  if (batch) {
    if (rank < 3) c.malformed("transposes the batch of " + to_string(c.b.type(v)));
    std::rotate(order.begin(), order.begin() + 1, order.end() - 1);
  }
  if (swap && rank >= 2) std::swap(order[size_t(rank) - 1], order[size_t(rank) - 2]);
  return std::is_sorted(order.begin(), order.end()) ? v : c.b.transpose(v, order);
}

Result fused_matmul(Call& c) {
  const auto flag = [&](const char* name) { return c.take_int(name).value_or(0) != 0; };
  const bool a = flag("transA"), b = flag("transB"), batch_a = flag("transBatchA"),
             batch_b = flag("transBatchB");
  const float alpha = c.take_float("alpha").value_or(1);
  c.expect(2, 2);
  const ValueId left = oriented(c, c.inputs[0], a, batch_a);
  const ValueId y = c.b.one("MatMul", {left, oriented(c, c.inputs[1], b, batch_b)}, {}, c.name);
  return Values{alpha == 1 ? y : c.b.mul(y, double(alpha))};
}

Result fused_gemm(Call& c) {
  const std::string activation = c.take_string("activation").value_or("");
  std::vector<std::optional<float>> params;
  for (const char* name : {"activation_alpha", "activation_beta", "activation_gamma"})
    params.push_back(c.take_float(name));
  const Values y = c.b.op("Gemm", c.inputs, std::exchange(c.attrs, {}), c.name);
  return Values{activated(c, y[0], activation, params)};
}

// x, weight, bias, what is added before the activation.
Result fused_conv(Call& c) {
  const std::string activation = c.take_string("activation").value_or("");
  const auto params = c.take_floats("activation_params").value_or(std::vector<float>{});
  if (c.inputs.size() > 4) c.malformed("has " + std::to_string(c.inputs.size()) + " operands");
  const ValueId added = c.operand(3);
  c.drop_inputs(3);
  while (!c.inputs.empty() && c.inputs.back() == kNoValue) c.inputs.pop_back();
  ValueId y = c.b.one("Conv", c.inputs, std::exchange(c.attrs, {}), c.name);
  if (added != kNoValue) y = c.b.add(y, added);
  return Values{activated(c, y, activation, {params.begin(), params.end()})};
}

Result trilu(Call& c) {
  c.domain = "";
  return std::nullopt;
}

// ---- rotary embedding ---------------------------------------------------------------------------

/// Rows of a table [M, R/2] for positions [B,S], or from position [1] on, as [B or 1, S, R/2].
ValueId table_rows(Call& c, size_t table, ValueId sequence, int64_t axis) {
  Builder& b = c.b;
  c.settings.insert(c.inputs[table]);
  ValueId at = c.inputs[1];
  if (c.type(1).rank() == 1 || c.type(1).rank() == 0) {
    const ValueId steps = counted(b, extent(b, sequence, axis));
    at = b.one("Unsqueeze", {b.add(steps, at), b.ints({0})});
  }
  return b.one("Gather", {c.inputs[table], at}, {{"axis", int64_t{0}}});
}

// Input [B,S,N H] or [B,N,S,H], positions, tables of cosines and sines. Pairs of numbers, halves
// of a head apart or (interleaved) neighbours, turn by the angle of their position.
Result rotary_embedding(Call& c) {
  const bool interleaved = c.take_int("interleaved").value_or(0) != 0;
  int64_t heads = c.take_int("num_heads").value_or(0);
  const int64_t rotary = c.take_int("rotary_embedding_dim").value_or(0);
  if (c.take_float("scale").value_or(1) != 1) c.refuse("scales positions");
  if (c.take_int("is_packed_batching").value_or(0) != 0)
    c.refuse("takes sequences without padding");
  c.expect(4, 4);
  Builder& b = c.b;
  const TensorType x = c.type(0);
  for (size_t i = 2; i < 4; ++i) require_rank(c, i, 2);
  if (c.type(1).rank() > 2) c.malformed("the positions are " + to_string(c.type(1)));
  const int64_t turned = 2 * known_extent(c, c.type(2), 1, "the width");
  if (rotary != 0 && rotary != turned)
    c.malformed("rotary_embedding_dim is " + std::to_string(rotary) + ", the tables turn " +
                std::to_string(turned));
  const bool in_heads_already = x.rank() == 4;
  if (!in_heads_already) require_rank(c, 0, 3);
  const int64_t width = known_extent(c, x, -1, "the hidden size");
  ValueId v = c.inputs[0];
  if (!in_heads_already) {
    if (heads < 1 && rotary > 0) c.malformed("turns a part of each head and leaves num_heads out");
    if (heads < 1) heads = width / std::max<int64_t>(1, turned);
    if (heads < 1 || width % heads != 0)
      c.malformed(std::to_string(heads) + " heads do not divide " + std::to_string(width));
    v = b.reshape(v, {0, 0, heads, width / heads});
  }
  const int64_t between = in_heads_already ? 1 : 2;  // the axis of heads
  const auto angles = [&](size_t table) {
    const ValueId rows = table_rows(c, table, c.inputs[0], in_heads_already ? 2 : 1);
    return b.one("Unsqueeze", {b.cast(rows, x.dtype), b.ints({between})});
  };
  const ValueId cosine = angles(2), sine = angles(3);
  const ValueId y = rotated(c, v, cosine, sine, turned, interleaved);
  return Values{in_heads_already ? y : b.reshape(y, {0, 0, width})};
}

constexpr std::array kAdapters = {
    Adapter{"SimplifiedLayerNormalization", 1, kEveryOpset, simplified_layer_norm, "ReduceMean"},
    microsoft("SimplifiedLayerNormalization", simplified_layer_norm),
    microsoft("SkipLayerNormalization", skip_layer_norm),
    microsoft("SkipSimplifiedLayerNormalization", skip_simplified_layer_norm),
    microsoft("EmbedLayerNormalization", embed_layer_norm),
    microsoft("Gelu", gelu),
    microsoft("BiasGelu", bias_gelu),
    microsoft("FastGelu", fast_gelu),
    microsoft("QuickGelu", quick_gelu),
    microsoft("FusedMatMul", fused_matmul),
    microsoft("TransposeMatMul", fused_matmul),
    microsoft("FusedGemm", fused_gemm),
    microsoft("FusedConv", fused_conv),
    microsoft("Trilu", trilu),
    microsoft("RotaryEmbedding", rotary_embedding),
};

}  // namespace

std::span<const Adapter> microsoft_layer_adapters() { return kAdapters; }

}  // namespace espalier

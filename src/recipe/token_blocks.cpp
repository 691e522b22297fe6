// Blocks over sequences of tokens [N, tokens, features]: what vision transformers and language
// models are made of.
#include "recipe/token_blocks.h"

#include <cmath>
#include <limits>

#include "base/error.h"
#include "ir/builder.h"

namespace espalier {
namespace {

struct Tokens {
  int64_t count, features;
};

/// Both must be known.
Tokens tokens_of(BlockBuilder& b, const Fields& fields, ValueId x) {
  const TensorType& t = b.builder().type(x);
  if (t.rank() != 3 || !t.dims[1].known() || !t.dims[2].known())
    fields.map().fail(fields.what() +
                          " needs tokens [N, tokens, features] of known number, its "
                          "input is " +
                          to_string(t),
                      "put tokens before it");
  return {t.dims[1].value(), t.dims[2].value()};
}

// [N, C, spatial…] as [N, positions, C].
ValueId tokens(BlockBuilder& b, Fields& fields, ValueId x, const std::string&) {
  const TensorType type = b.builder().type(x);
  if (type.rank() < 3 || !type.dims[1].known())
    fields.map().fail("tokens needs an input [N, channels, positions…], it gets " +
                      to_string(type));
  int64_t positions = 1;
  for (size_t d = 2; d < type.dims.size(); ++d)
    positions = type.dims[d].known() && positions > 0 ? positions * type.dims[d].value() : -1;
  const ValueId rows = b.builder().reshape(x, {0, type.dims[1].value(), positions});
  return b.builder().transpose(rows, {0, 2, 1});
}

// One learned token before all others: BERT's [CLS] (Devlin et al., arXiv:1810.04805).
ValueId class_token(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  const Tokens t = tokens_of(b, fields, x);
  Builder& g = b.builder();
  const ValueId token = b.uniform_parameter(name, {1, 1, t.features}, kTokenBound);
  // Both padded with zeros to the common length: the batch stays open.
  const ValueId room = g.one("Pad", {x, g.ints({0, 1, 0, 0, 0, 0})});
  return g.add(room, g.one("Pad", {token, g.ints({0, 0, 0, 0, t.count, 0})}));
}

// A picture [N, C, H, W] read row by row: [N, H, C W].
ValueId rows(BlockBuilder& b, Fields& fields, ValueId x, const std::string&) {
  const TensorType type = b.builder().type(x);
  const bool known = type.rank() == 4 && type.dims[1].known() && type.dims[3].known();
  if (!known)
    fields.map().fail("rows needs pictures [N, channels, height, width], it gets " +
                      to_string(type));
  const int64_t width = type.dims[1].value() * type.dims[3].value();
  const ValueId by_row = b.builder().transpose(x, {0, 2, 1, 3});
  return b.builder().reshape(by_row, {0, 0, width});
}

// The last state of h_t = f(W x_t + R h_(t-1) + b) over tokens (Elman 1990).
ValueId rnn(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  const Tokens t = tokens_of(b, fields, x);
  const int64_t out = fields.require_integer("out", 1);
  const std::vector<std::string> functions = {"tanh", "relu"};
  const std::vector<std::string> onnx = {"Tanh", "Relu"};  // not an operator
  const size_t function = fields.choice("activation", 0, functions);
  const double bound = 1 / std::sqrt(double(out));
  const Values operands = {b.builder().transpose(x, {1, 0, 2}),
                           b.uniform_parameter(name + ".weight", {1, out, t.features}, bound),
                           b.uniform_parameter(name + ".recurrent", {1, out, out}, bound),
                           b.uniform_parameter(name + ".bias", {1, 2 * out}, bound)};
  const Values results = b.builder().op(
      "RNN", operands,
      {{"hidden_size", out}, {"activations", std::vector<std::string>{onnx[function]}}}, name);
  return b.builder().one("Squeeze", {results.at(1), b.builder().ints({0})});
}

ValueId position_embedding(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  const Tokens t = tokens_of(b, fields, x);
  return b.builder().add(x, b.uniform_parameter(name, {1, t.count, t.features}, kTokenBound));
}

ValueId first_token(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  tokens_of(b, fields, x);
  return b.builder().one("Gather", {x, b.builder().constant(Tensor::scalar(int64_t{0}))},
                         {{"axis", int64_t{1}}}, name);
}

// Token numbers [N, tokens] as their learned vectors [N, tokens, features].
ValueId embedding(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  const TensorType& t = b.builder().type(x);
  if (t.rank() != 2 || t.dtype != DType::i64)
    fields.map().fail("embedding needs token numbers i64 [N, tokens], its input is " + to_string(t),
                      "write type: i64 at the definition's input");
  const int64_t entries = fields.require_integer("entries", 1);
  const ValueId table =
      b.normal_parameter(name + ".weight", {entries, fields.require_integer("out", 1)},
                         fields.number("deviation", kTokenDeviation, 0, 10));
  return b.builder().one("Gather", {table, x}, {{"axis", int64_t{0}}}, name);
}

// A row of logits for each token, by the vectors of an embedding (Press & Wolf, arXiv:1608.05859)
// or, untied, by a matrix of its own; no bias.
ValueId token_logits(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  const Tokens t = tokens_of(b, fields, x);
  Builder& g = b.builder();
  const Yaml& of = fields.require("embedding");
  const ValueId table = g.graph().find(of.text() + ".weight");
  if (table == kNoValue || !g.type(table).dims.back().is(t.features))
    of.fail(table == kNoValue ? "there is no embedding '" + of.text() + "'"
                              : "the embedding is " + to_string(g.type(table)) +
                                    ", its input has " + std::to_string(t.features) + " features",
            "name an embedding block with as many features");
  ValueId matrix = table;
  const double deviation = fields.number("deviation", kTokenDeviation, 0, 10);
  if (!fields.boolean("tied", true))
    matrix = b.normal_parameter(name + ".weight", g.type(table).shape(), deviation);
  return g.one("MatMul", {x, g.transpose(matrix, {1, 0})}, {}, name);
}

// Zero where the row may look, minus infinity at later tokens.
Tensor causal_mask(int64_t tokens) {
  Tensor mask(DType::f32, {tokens, tokens});
  for (int64_t i = 0; i < tokens; ++i)
    for (int64_t j = i + 1; j < tokens; ++j)
      mask.mutable_data<float>()[i * tokens + j] = -std::numeric_limits<float>::infinity();
  return mask;
}

// Multi-head attention of tokens to each other (Vaswani et al., arXiv:1706.03762, equation 1):
// softmax(q k^T / sqrt d) v for each head, one product making q, k and v. Causal: to itself and
// those before.
ValueId self_attention(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  const Tokens t = tokens_of(b, fields, x);
  const int64_t heads = fields.require_integer("heads", 1), size = t.features / heads;
  if (t.features % heads)
    fields.map().fail(std::to_string(t.features) + " features cannot be divided into " +
                      std::to_string(heads) + " heads");
  Builder& g = b.builder();
  const ValueId qkv = dense_layer(b, fields, x, name + ".qkv", t.features, 3 * t.features);
  const Values parts = g.op("Split", {qkv, g.ints({t.features, t.features, t.features})},
                            {{"axis", int64_t{2}}}, "", {name + ".q", name + ".k", name + ".v"});
  const auto by_heads = [&](ValueId v, std::vector<int64_t> order) {
    return g.transpose(g.reshape(v, {0, t.count, heads, size}), std::move(order));
  };
  // Named, for parametrisations: what falls with the size of heads.
  const ValueId scale =
      g.constant(Tensor::scalar(float(1 / std::sqrt(double(size)))), name + ".scale");
  const ValueId q = g.mul(by_heads(parts[0], {0, 2, 1, 3}), scale);
  ValueId scores = g.one("MatMul", {q, by_heads(parts[1], {0, 2, 3, 1})}, {}, name + ".scores");
  if (fields.boolean("causal", false))
    scores = g.add(scores, g.constant(causal_mask(t.count), name + ".mask"));
  const ValueId weights = g.one("Softmax", {scores}, {{"axis", int64_t{-1}}});
  const ValueId mixed =
      g.one("MatMul", {weights, by_heads(parts[2], {0, 2, 1, 3})}, {}, name + ".mixed");
  const ValueId joined = g.reshape(g.transpose(mixed, {0, 2, 1, 3}), {0, t.count, t.features});
  return dense_layer(b, fields, joined, name + ".proj", t.features, t.features);
}

// Root mean squares of channels, smoothed over steps (Yang et al., arXiv:2208.01313).
ValueId unified_norm(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  const TensorType type = b.builder().type(x);
  if (type.rank() < 2 || !type.dims.back().known())
    fields.map().fail(fields.what() + " needs a known last axis and one before it, its input is " +
                      to_string(type));
  const int64_t channels = type.dims.back().value(), window = fields.integer("window", 4, 1, 1024);
  const AttributeMap attributes = {
      {"epsilon", float(fields.number("epsilon", 1e-5, 0, 1))},
      {"momentum", float(fields.number("momentum", 0.9, 0, 0.9999))},
      {"window", window},
      {"warmup", fields.integer("warmup", 100)},
      {"filter", int64_t{fields.boolean("filter", true)}},
  };
  const Values operands = {x,
                           b.constant_parameter(name + ".weight", {channels}, 1),
                           b.constant_parameter(name + ".bias", {channels}, 0),
                           b.buffer(name + ".running_square", {channels}, 1),
                           b.buffer(name + ".statistics", {window + 4, channels}, 0),
                           b.buffer(name + ".gradient_statistics", {window + 1, channels}, 0)};
  return b.builder().op("espalier.UnifiedNormalization", operands, attributes, name).at(0);
}

// One of the normalisations of tokens, chosen by a definition's variable.
ValueId token_norm(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  const size_t kind = fields.choice("kind", 0, {"layer", "batch", "unified"});
  // What belongs to another kind stands there for when that is chosen.
  for (const char* key : {"epsilon", "momentum", "window", "warmup", "filter"}) fields.find(key);
  if (kind == 2) return unified_norm(b, fields, x, name);
  if (kind == 0) return find_leaf_block("layer_norm")(b, fields, x, name);
  tokens_of(b, fields, x);
  Builder& g = b.builder();
  const ValueId channels_first = g.transpose(x, {0, 2, 1});
  return g.transpose(find_leaf_block("batch_norm")(b, fields, channels_first, name), {0, 2, 1});
}

}  // namespace

Values linear_parameters(BlockBuilder& b, Fields& fields, const std::string& name, int64_t in,
                         int64_t out) {
  const double bound = 1 / std::sqrt(double(in)), deviation = fields.number("deviation", 0, 0, 10);
  const std::string weight = name + ".weight", bias = name + ".bias";
  const bool normal = deviation > 0;
  Values made = {normal ? b.normal_parameter(weight, {out, in}, deviation)
                        : b.uniform_parameter(weight, {out, in}, bound)};
  if (fields.boolean("bias", true))
    made.push_back(normal ? b.constant_parameter(bias, {out}, 0)
                          : b.uniform_parameter(bias, {out}, bound));
  return made;
}

ValueId dense_layer(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name, int64_t in,
                    int64_t out) {
  Builder& g = b.builder();
  const Values p = linear_parameters(b, fields, name, in, out);
  const ValueId y = g.one("MatMul", {x, g.transpose(p[0], {1, 0})}, {}, name);
  return p.size() > 1 ? g.add(y, p[1]) : y;
}

std::span<const LeafType> token_blocks() {
  static constexpr LeafType kBlocks[] = {{"tokens", tokens},
                                         {"rows", rows},
                                         {"rnn", rnn},
                                         {"class_token", class_token},
                                         {"embedding", embedding},
                                         {"token_logits", token_logits},
                                         {"position_embedding", position_embedding},
                                         {"first_token", first_token},
                                         {"self_attention", self_attention},
                                         {"unified_norm", unified_norm},
                                         {"token_norm", token_norm}};
  return kBlocks;
}

}  // namespace espalier

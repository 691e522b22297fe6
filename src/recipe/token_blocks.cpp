// Blocks over sequences of tokens [N, tokens, features]: what vision transformers are made of.
#include "recipe/token_blocks.h"

#include <cmath>

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

ValueId position_embedding(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  const Tokens t = tokens_of(b, fields, x);
  return b.builder().add(x, b.uniform_parameter(name, {1, t.count, t.features}, kTokenBound));
}

ValueId first_token(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  tokens_of(b, fields, x);
  return b.builder().one("Gather", {x, b.builder().constant(Tensor::scalar(int64_t{0}))},
                         {{"axis", int64_t{1}}}, name);
}

// Multi-head attention of tokens to each other (Vaswani et al., arXiv:1706.03762, equation 1):
// softmax(q k^T / sqrt d) v for each head, one product making q, k and v.
ValueId self_attention(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name) {
  const Tokens t = tokens_of(b, fields, x);
  const int64_t heads = fields.require_integer("heads", 1), size = t.features / heads;
  if (t.features % heads)
    fields.map().fail(std::to_string(t.features) + " features cannot be divided into " +
                      std::to_string(heads) + " heads");
  Builder& g = b.builder();
  const bool bias = fields.boolean("bias", true);
  const ValueId qkv = dense_layer(b, x, name + ".qkv", t.features, 3 * t.features, bias);
  const Values parts = g.op("Split", {qkv, g.ints({t.features, t.features, t.features})},
                            {{"axis", int64_t{2}}}, "", {name + ".q", name + ".k", name + ".v"});
  const auto by_heads = [&](ValueId v, std::vector<int64_t> order) {
    return g.transpose(g.reshape(v, {0, t.count, heads, size}), std::move(order));
  };
  const ValueId q = g.mul(by_heads(parts[0], {0, 2, 1, 3}), 1 / std::sqrt(double(size)));
  const ValueId scores = g.matmul(q, by_heads(parts[1], {0, 2, 3, 1}));
  const ValueId weights = g.one("Softmax", {scores}, {{"axis", int64_t{-1}}});
  const ValueId mixed = g.matmul(weights, by_heads(parts[2], {0, 2, 1, 3}));
  const ValueId joined = g.reshape(g.transpose(mixed, {0, 2, 1, 3}), {0, t.count, t.features});
  return dense_layer(b, joined, name + ".proj", t.features, t.features, bias);
}

}  // namespace

ValueId dense_layer(BlockBuilder& b, ValueId x, const std::string& name, int64_t in, int64_t out,
                    bool bias) {
  const double bound = 1 / std::sqrt(double(in));
  Builder& g = b.builder();
  const ValueId weight = b.uniform_parameter(name + ".weight", {out, in}, bound);
  const ValueId y = g.one("MatMul", {x, g.transpose(weight, {1, 0})}, {}, name);
  return bias ? g.add(y, b.uniform_parameter(name + ".bias", {out}, bound)) : y;
}

std::span<const LeafType> token_blocks() {
  static constexpr LeafType kBlocks[] = {{"tokens", tokens},
                                         {"class_token", class_token},
                                         {"position_embedding", position_embedding},
                                         {"first_token", first_token},
                                         {"self_attention", self_attention}};
  return kBlocks;
}

}  // namespace espalier

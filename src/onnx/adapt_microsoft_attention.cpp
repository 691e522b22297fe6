// ONNX Runtime's fused attention written in standard operators: Attention, QAttention
// and MultiHeadAttention of com.microsoft, version 1. Shapes: B batch, S queries,
// T keys (P of the past first), N heads of H numbers.
#include <algorithm>
#include <array>

#include "ir/room.h"
#include "onnx/adapt_attention.h"
#include "onnx/adapt_microsoft.h"

namespace espalier {
namespace {

using Result = std::optional<Values>;

/// Masks of more elements are computed while the network runs.
constexpr int64_t kMostMasked = int64_t{1} << 22;

/// What is added to the scores [B,N,S,T] so that no query sees what comes after it.
ValueId causal_filter(Call& c, ValueId scores) {
  Builder& b = c.b;
  const TensorType type = b.type(scores);
  const double lowest = never(type.dtype);
  if (type.dims[2].known() && type.dims[3].known() &&
      type.dims[2].value() <= kMostMasked / std::max<int64_t>(1, type.dims[3].value())) {
    const int64_t queries = type.dims[2].value(), keys = type.dims[3].value();
    Tensor mask(DType::f64, {queries, keys});
    for (int64_t s = 0; s < queries; ++s)
      for (int64_t t = keys - queries + s + 1; t < keys; ++t)
        mask.mutable_data<double>()[s * keys + t] = lowest;
    return c.setting(mask.cast(type.dtype));
  }
  const ValueId queries = extent(b, scores, 2), keys = extent(b, scores, 3);
  const ValueId last = b.add(counted(b, queries), b.sub(keys, queries));
  const ValueId keep =
      b.one("LessOrEqual", {counted(b, keys), b.one("Unsqueeze", {last, b.ints({1})})});
  return filtered(b, keep, lowest, scores);
}

/// Lengths [B] (or ends, then starts, [2B]) as what of the keys may be seen, [B,1,1,T].
ValueId within_lengths(Call& c, ValueId lengths, ValueId scores) {
  Builder& b = c.b;
  const Dim given = b.type(lengths).dims[0], batch = b.type(scores).dims[0];
  const bool single = given == batch;
  if (!single && !(given.known() && batch.known() && given.value() == 2 * batch.value()))
    c.refuse("the mask " + to_string(b.type(lengths)) + " for a batch of " + to_string(batch) +
                 " is of a form that is not supported",
             "give the batch a number with --shape, or use a mask of 0 and 1");
  const ValueId keys = counted(b, extent(b, scores, 3)), behind = b.ints({1, 2, 3});
  const auto row = [&](ValueId v) { return b.one("Unsqueeze", {b.cast(v, DType::i64), behind}); };
  if (single) return b.less(keys, row(lengths));
  const int64_t n = batch.value();
  const Values parts = b.op("Split", {lengths, b.ints({n, n})});
  return b.one("And",
               {b.less(keys, row(parts[0])), b.one("GreaterOrEqual", {keys, row(parts[1])})});
}

/// A mask operand as what is added to the scores.
ValueId mask_filter(Call& c, ValueId mask, ValueId scores, const AttentionForm& form) {
  Builder& b = c.b;
  const TensorType type = b.type(mask);
  if (is_float(type.dtype) || type.dtype == DType::string)
    c.malformed("the mask is " + to_string(type) + ", integers are needed");
  ValueId keep = kNoValue;
  if (type.rank() == 1) {
    keep = within_lengths(c, mask, scores);
  } else if (type.rank() <= 4) {
    ValueId seen = mask;
    if (type.rank() == 2) seen = b.one("Unsqueeze", {mask, b.ints({1, 2})});
    if (type.rank() == 3) seen = b.one("Unsqueeze", {mask, b.ints({1})});
    if (type.rank() == 4) {
      // For every position there may be: the rows of these queries, the columns of these keys.
      const Dims extents = b.type(scores).dims;
      const ValueId keys = extent_list(b, scores, 3);
      const ValueId first = extents[2].known() && extents[3].known()
                                ? b.ints({extents[3].value() - extents[2].value()})
                                : b.sub(keys, extent_list(b, scores, 2));
      seen = b.one("Slice", {mask, first, keys, b.ints({2})});
      seen = b.one("Slice", {seen, b.ints({0}), keys, b.ints({3})});
    }
    keep = type.dtype == DType::boolean ? seen : b.greater(seen, b.scalar(0, seen));
  } else {
    c.malformed("the mask is " + to_string(type));
  }
  return filtered(b, keep, double(form.filter), scores);
}

/// softmax(scale q k^T + masks) v for q [B,N,S,H], k [B,N,T,H], v [B,N,T,H'], as [B,S,N H'].
ValueId attended(Call& c, ValueId q, ValueId k, ValueId v, ValueId mask, ValueId bias,
                 const AttentionForm& form) {
  Builder& b = c.b;
  const ValueId scores = attention_scores(c, q, k, form);
  const Dim queries = b.type(scores).dims[2];
  ValueId sum = scores;
  if (mask != kNoValue) sum = b.add(sum, mask_filter(c, mask, scores, form));
  if (form.causal && !queries.is(1)) sum = b.add(sum, causal_filter(c, scores));
  if (bias != kNoValue) sum = b.add(sum, bias);
  return attention_result(c, sum, v);
}

/// From input [B,S,I], weight [I, 3 hidden], bias, mask and past on.
Values self_attention(Call& c, ValueId input, ValueId weight, ValueId bias, ValueId mask,
                      ValueId past, ValueId added, std::vector<int64_t> sizes,
                      const AttentionForm& form) {
  Builder& b = c.b;
  if (b.type(input).rank() != 3 || b.type(weight).rank() != 2)
    c.malformed("takes an input [batch, sequence, size] and a weight matrix");
  const int64_t width = known_extent(c, b.type(weight), 1, "the width");
  if (sizes.empty()) sizes = {width / 3, width / 3, width / 3};
  if (sizes.size() != 3 || sizes[0] < 1 || sizes[0] != sizes[1] || sizes[2] < 1 ||
      sizes[0] + sizes[1] + sizes[2] != width)
    c.malformed("the sizes of queries, keys and values do not make up the " +
                std::to_string(width) + " columns of the weight");
  ValueId projected = b.matmul(input, weight);
  if (bias != kNoValue) projected = b.add(projected, bias);
  const Values parts = b.op("Split", {projected, b.ints(sizes)}, {{"axis", int64_t{2}}});
  Values qkv;
  for (ValueId part : parts) qkv.push_back(heads_first(c, in_heads(c, part, form.heads)));
  if (past != kNoValue) {
    if (b.type(past).rank() != 5 || !b.type(past).dims[0].is(2))
      c.malformed("the past is " + to_string(b.type(past)) +
                  ", [2, batch, heads, length, size] "
                  "is needed");
    const Values before = b.op("Split", {past, b.ints({1, 1})});
    for (size_t i = 0; i < 2; ++i)
      qkv[i + 1] = b.one("Concat", {b.one("Squeeze", {before[i], b.ints({0})}), qkv[i + 1]},
                         {{"axis", int64_t{2}}});
  }
  Values results = {attended(c, qkv[0], qkv[1], qkv[2], mask, added, form)};
  if (c.wants(1)) {
    const auto one = [&](ValueId v) { return b.one("Unsqueeze", {v, b.ints({0})}); };
    results.push_back(b.one("Concat", {one(qkv[1]), one(qkv[2])}, {{"axis", int64_t{0}}}));
  }
  return results;
}

/// Takes what Attention and QAttention may be told that has no place here.
void refuse_own_rotation_and_buffers(Call& c) {
  if (c.take_int("do_rotary").value_or(0) != 0)
    c.refuse("rotates queries and keys itself", "export with rotary embedding apart");
  if (c.take_int("past_present_share_buffer").value_or(0) != 0)
    c.refuse("shares the buffer of past and present", "export without past_present_share_buffer");
}

// Input, weight, bias, mask, past, added bias, length of the past.
Result attention(Call& c) {
  const AttentionForm form = take_attention_form(c);
  auto sizes = c.take_ints("qkv_hidden_sizes").value_or(std::vector<int64_t>{});
  refuse_own_rotation_and_buffers(c);
  c.take_int("rotary_embedding_dim");
  c.expect(2, 7);
  return self_attention(c, c.inputs[0], c.inputs[1], c.operand(2), c.operand(3), c.operand(4),
                        c.operand(5), std::move(sizes), form);
}

// Input, weight, bias, input scale, weight scale, mask, input and weight zero points, past.
Result quantized_attention(Call& c) {
  const AttentionForm form = take_attention_form(c);
  refuse_own_rotation_and_buffers(c);
  c.expect(5, 9);
  const ValueId input = dequantized(c.b, c.inputs[0], c.inputs[3], c.operand(6), 2);
  const ValueId weight = dequantized(c.b, c.inputs[1], c.inputs[4], c.operand(7), 1);
  return self_attention(c, input, weight, c.inputs[2], c.operand(5), c.operand(8), kNoValue, {},
                        form);
}

/// Piece `first` to `last` of a bias of all projections, as [N, H].
ValueId bias_piece(Call& c, ValueId bias, int64_t first, int64_t last, int64_t heads) {
  const ValueId piece =
      c.b.one("Slice", {bias, c.b.ints({first}), c.b.ints({last}), c.b.ints({0})});
  return c.b.reshape(piece, {heads, (last - first) / heads});
}

/// `count` tensors stacked along an axis, each [B,S,N,H].
Values unstacked(Call& c, ValueId v, int64_t count) {
  require_rank(c, v == c.inputs[0] ? 0 : 1, 5);
  const TensorType type = c.b.type(v);
  if (!type.dims[3].is(count))
    c.malformed("is given " + to_string(type) + " as packed projections");
  const Values parts = c.b.op("Split", {v, c.b.ints(std::vector<int64_t>(size_t(count), 1))},
                              {{"axis", int64_t{3}}});
  Values apart;
  for (ValueId part : parts) apart.push_back(c.b.one("Squeeze", {part, c.b.ints({3})}));
  return apart;
}

// Queries, keys, values, bias, mask, added bias, past keys, past values.
Result multi_head_attention(Call& c) {
  const AttentionForm form = take_attention_form(c);
  c.expect(1, 10);
  if (c.has(8) || c.has(9))
    c.refuse("shares buffers of past and present", "export without past_sequence_length");
  if (c.wants(3)) c.refuse("is asked for its scores");
  Builder& b = c.b;
  const TensorType query = c.type(0);
  Values q, k, v;  // [B,S,N,H] each
  bool keys_in_heads = false;
  if (query.rank() == 5) {
    if (c.has(1) || c.has(2)) c.malformed("has keys besides packed projections");
    const Values parts = unstacked(c, c.inputs[0], 3);
    q = {parts[0]}, k = {parts[1]}, v = {parts[2]};
  } else {
    require_rank(c, 0, 3);
    q = {in_heads(c, c.inputs[0], form.heads)};
    const TensorType key = c.type(1);
    if (key.rank() == 5) {
      if (c.has(2)) c.malformed("has values besides packed projections");
      const Values parts = unstacked(c, c.inputs[1], 2);
      k = {parts[0]}, v = {parts[1]};
    } else if (key.rank() == 4) {
      require_rank(c, 2, 4);
      keys_in_heads = true;
      k = {c.inputs[1]}, v = {c.inputs[2]};
    } else {
      require_rank(c, 1, 3);
      require_rank(c, 2, 3);
      k = {in_heads(c, c.inputs[1], form.heads)}, v = {in_heads(c, c.inputs[2], form.heads)};
    }
  }
  if (c.has(3)) {
    const int64_t hidden = form.heads * known_extent(c, b.type(q[0]), -1, "the head size");
    const int64_t values = form.heads * known_extent(c, b.type(v[0]), -1, "the head size");
    if (c.type(3).rank() != 1 || !c.type(3).dims[0].is(2 * hidden + values))
      c.malformed("the bias is " + to_string(c.type(3)) + ", " +
                  std::to_string(2 * hidden + values) + " numbers are needed");
    const auto biased = [&](ValueId x, int64_t first, int64_t last) {
      return b.add(x, bias_piece(c, c.inputs[3], first, last, form.heads));
    };
    q = {biased(q[0], 0, hidden)};
    // Keys that are in heads already were projected and biased before.
    if (!keys_in_heads) {
      k = {biased(k[0], hidden, 2 * hidden)};
      v = {biased(v[0], 2 * hidden, 2 * hidden + values)};
    }
  }
  ValueId keys = keys_in_heads ? k[0] : heads_first(c, k[0]);
  ValueId values = keys_in_heads ? v[0] : heads_first(c, v[0]);
  if (c.has(6) != c.has(7)) c.malformed("has a past of keys or of values alone");
  if (c.has(6)) {
    require_rank(c, 6, 4);
    require_rank(c, 7, 4);
    keys = b.one("Concat", {c.inputs[6], keys}, {{"axis", int64_t{2}}});
    values = b.one("Concat", {c.inputs[7], values}, {{"axis", int64_t{2}}});
  }
  Values results = {
      attended(c, heads_first(c, q[0]), keys, values, c.operand(4), c.operand(5), form)};
  // Under names of their own: they may be operands themselves.
  if (c.wants(1) || c.wants(2)) {
    results.push_back(b.one("Identity", {keys}));
    results.push_back(b.one("Identity", {values}));
  }
  return results;
}

constexpr std::array kAdapters = {
    microsoft("Attention", attention),
    microsoft("QAttention", quantized_attention),
    microsoft("MultiHeadAttention", multi_head_attention),
};

}  // namespace

std::span<const Adapter> microsoft_attention_adapters() { return kAdapters; }

}  // namespace espalier

// GroupQueryAttention of com.microsoft, version 1, as model builders write decoders with it, in
// standard operators: groups of query heads share a head of keys and values (Ainslie et al.,
// arXiv:2305.13245), every query sees what stands before it. A sequence of total length L (operand
// seqlens_k holds L - 1) has L - S keys in its past, before the S that come now; what is padding
// behind them is never seen. Past and present are tensors of their own.
#include <array>

#include "onnx/adapt_attention.h"
#include "onnx/adapt_microsoft.h"

namespace espalier {
namespace {

using Result = std::optional<Values>;

struct Grouped {
  AttentionForm form;
  int64_t key_heads = 0, window = -1;
  float softcap = 0;
  bool rotates = false, neighbours = false;
};

Grouped take_form(Call& c) {
  Grouped g;
  g.form = take_attention_form(c);
  g.key_heads = c.take_int("kv_num_heads").value_or(0);
  g.window = c.take_int("local_window_size").value_or(-1);
  g.softcap = c.take_float("softcap").value_or(0);
  g.rotates = c.take_int("do_rotary").value_or(0) != 0;
  g.neighbours = c.take_int("rotary_interleaved").value_or(0) != 0;
  if (c.take_int("smooth_softmax").value_or(0) > 0) c.refuse("smooths its softmax");
  if (c.take_int("qk_output").value_or(0) != 0) c.refuse("is asked for its scores");
  for (const char* name : {"k_quant_type", "v_quant_type"})
    if (c.take_string(name).value_or("NONE") != "NONE") c.refuse("quantises its keys or values");
  c.take_int("kv_cache_bit_width");
  if (g.key_heads < 1 || g.form.heads % g.key_heads != 0)
    c.malformed("kv_num_heads is " + std::to_string(g.key_heads) + ", which does not divide " +
                std::to_string(g.form.heads));
  return g;
}

/// Queries, keys, values as [B,S,N,H], from operands of their own or packed into the first.
std::array<ValueId, 3> projections(Call& c, const Grouped& g) {
  Builder& b = c.b;
  require_rank(c, 0, 3);
  if (c.has(1) != c.has(2)) c.malformed("has keys or values alone");
  Values apart = {c.inputs[0]};
  if (c.has(1)) {
    for (size_t i = 1; i < 3; ++i) {
      require_rank(c, i, 3);
      apart.push_back(c.inputs[i]);
    }
  } else {
    const int64_t width = known_extent(c, c.type(0), 2, "the width");
    const int64_t heads = g.form.heads + 2 * g.key_heads;
    if (width % heads != 0)
      c.malformed(std::to_string(heads) + " heads do not divide " + std::to_string(width));
    const int64_t size = width / heads;
    apart =
        b.op("Split",
             {c.inputs[0], b.ints({g.form.heads * size, g.key_heads * size, g.key_heads * size})},
             {{"axis", int64_t{2}}});
  }
  return {in_heads(c, apart[0], g.form.heads), in_heads(c, apart[1], g.key_heads),
          in_heads(c, apart[2], g.key_heads)};
}

/// Of keys [B,N,P,H] before and [B,N,S,H] now those that stand one after another, [B,N,P+S,H].
ValueId in_sequence(Call& c, ValueId before, ValueId now, ValueId past) {
  Builder& b = c.b;
  const ValueId all = b.one("Concat", {before, now}, {{"axis", int64_t{2}}});
  const ValueId most = extent(b, before, 2), count = extent(b, all, 2);
  // t < past: the past's t; else the one that is t - past among those that come now.
  const ValueId t = counted(b, count);
  const ValueId zero = b.scalar(0, t), last = b.sub(count, b.scalar(1, t));
  const ValueId later = b.one("Clip", {b.add(b.sub(t, past), most), zero, last});
  const ValueId at = b.where(b.less(t, past), t, later);  // [B, T]
  const ValueId rows = b.one("Unsqueeze", {at, b.ints({1, 3})});
  const int64_t heads = known_extent(c, b.type(now), 1, "the number of heads");
  const int64_t size = known_extent(c, b.type(now), 3, "the head size");
  const ValueId index = b.one("Expand", {rows, b.ints({1, heads, 1, size})});
  return b.one("GatherElements", {all, index}, {{"axis", int64_t{2}}});
}

/// Keys or values [B,N,T,H], each for a group of query heads.
ValueId for_groups(Call& c, ValueId v, const Grouped& g) {
  const int64_t group = g.form.heads / g.key_heads;
  if (group == 1) return v;
  Builder& b = c.b;
  const int64_t size = known_extent(c, b.type(v), 3, "the head size");
  const ValueId apart = b.one("Unsqueeze", {v, b.ints({2})});
  return b.reshape(b.one("Expand", {apart, b.ints({1, 1, group, 1, 1})}),
                   {0, g.form.heads, -1, size});
}

// Queries, keys, values, past keys, past values, lengths - 1 [B], longest length, tables of cosines
// and sines, positions, what is added to the scores.
Result grouped_attention(Call& c) {
  const Grouped g = take_form(c);
  if (c.inputs.size() < 7) c.malformed("needs 7 operands, four of which may be omitted");
  for (size_t i = 11; i < c.inputs.size(); ++i)
    if (c.has(i)) c.refuse("has operand " + std::to_string(i) + ", which is not supported");
  c.drop_inputs(11);
  c.expect(1, 11);
  if (c.wants(3)) c.refuse("is asked for its scores");
  Builder& b = c.b;
  auto [q, k, v] = projections(c, g);
  const DType dtype = c.type(0).dtype;
  require_rank(c, 5, 1);
  if (c.has(3) != c.has(4)) c.malformed("has a past of keys or of values alone");

  // How many of each sequence's keys are past, [B,1], and where its queries stand, [B,S].
  const ValueId steps = counted(b, extent(b, c.inputs[0], 1));
  const ValueId total =
      b.add(b.cast(c.inputs[5], DType::i64), b.constant(Tensor::scalar(int64_t{1})));
  const ValueId now = extent(b, c.inputs[0], 1), zero = b.constant(Tensor::scalar(int64_t{0}));
  const ValueId past = b.one("Unsqueeze", {b.one("Max", {b.sub(total, now), zero}), b.ints({1})});
  const ValueId places = b.add(past, steps);
  if (g.rotates) {
    for (size_t i = 7; i < 9; ++i) require_rank(c, i, 2);
    const int64_t turned = 2 * known_extent(c, c.type(7), 1, "the width");
    const ValueId at = c.has(9) ? c.inputs[9] : places;
    const auto angles = [&](size_t table) {
      c.settings.insert(c.inputs[table]);
      const ValueId rows = b.one("Gather", {c.inputs[table], at}, {{"axis", int64_t{0}}});
      return b.one("Unsqueeze", {b.cast(rows, dtype), b.ints({2})});
    };
    const ValueId cosine = angles(7), sine = angles(8);
    q = rotated(c, q, cosine, sine, turned, g.neighbours);
    k = rotated(c, k, cosine, sine, turned, g.neighbours);
  }
  ValueId keys = heads_first(c, k), values = heads_first(c, v);
  if (c.has(3)) {
    for (size_t i = 3; i < 5; ++i) require_rank(c, i, 4);
    keys = in_sequence(c, c.inputs[3], keys, past);
    values = in_sequence(c, c.inputs[4], values, past);
  }

  ValueId scores = attention_scores(c, heads_first(c, q), for_groups(c, keys, g), g.form);
  if (g.softcap > 0)
    scores = b.mul(b.one("Tanh", {b.mul(scores, 1 / double(g.softcap))}), double(g.softcap));
  // Key t is seen by the query at place p if p - window < t <= p.
  const ValueId t = counted(b, extent(b, keys, 2));
  const ValueId p = b.one("Unsqueeze", {places, b.ints({1, 3})});
  ValueId keep = b.one("LessOrEqual", {t, p});
  if (g.window > 0) {
    const ValueId window = b.constant(Tensor::scalar(g.window));
    keep = b.one("And", {keep, b.greater(t, b.sub(p, window))});
  }
  scores = b.add(scores, filtered(b, keep, never(dtype), scores));
  if (c.has(10)) scores = b.add(scores, c.inputs[10]);
  Values results = {attention_result(c, scores, for_groups(c, values, g))};
  if (c.wants(1) || c.wants(2)) {
    results.push_back(b.one("Identity", {keys}));
    results.push_back(b.one("Identity", {values}));
  }
  return results;
}

constexpr std::array kAdapters = {microsoft("GroupQueryAttention", grouped_attention)};

}  // namespace

std::span<const Adapter> microsoft_grouped_adapters() { return kAdapters; }

}  // namespace espalier

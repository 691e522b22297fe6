// Attention as ONNX Runtime's transformer optimiser and model builders write it.
#include "tests/peer/cases.h"

namespace espalier::testing {
namespace {

using P = PeerCase;
using Ints = std::vector<int64_t>;

Tensor i32(Shape shape, std::initializer_list<int32_t> values) {
  return Tensor::from<int32_t>(std::move(shape), values);
}

/// Attention of 2 sequences of 3 with 2 heads of 2: input, weight and bias.
P attention(const std::string& name) {
  P c("Attention." + name, "com.microsoft.Attention");
  c.fed(wave({2, 3, 4}, 1)).stored(wave({4, 12}, 2)).stored(wave({12}, 3));
  return c.with("num_heads", int64_t{2});
}

/// MultiHeadAttention of 2 sequences, 3 queries, 3 keys, 2 heads of 2.
P multi_head(const std::string& name) {
  P c("MultiHeadAttention." + name, "com.microsoft.MultiHeadAttention");
  c.fed(wave({2, 3, 4}, 1)).fed(wave({2, 3, 4}, 2)).fed(wave({2, 3, 4}, 3));
  return c.with("num_heads", int64_t{2});
}

P rotary(const std::string& name, Tensor x, const Tensor& positions, int64_t turned) {
  P c("RotaryEmbedding." + name, "com.microsoft.RotaryEmbedding");
  c.fed(std::move(x)).fed(positions);
  return c.stored(wave({8, turned / 2}, 4)).stored(wave({8, turned / 2}, 5));
}

std::vector<P> self_attention() {
  const Tensor padded = i32({2, 3}, {1, 1, 0, 1, 1, 1});
  const Tensor past = wave({2, 2, 2, 2, 2}, 6);
  std::vector<P> cases = {
      attention("plain"),
      attention("raw_mask").fed(padded),
      attention("mask_of_each_query")
          .fed(i32({2, 3, 3}, {1, 0, 0, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1, 1, 1, 1})),
      attention("lengths").fed(i32({2}, {2, 3})),
      attention("ends_and_starts").fed(i32({4}, {3, 2, 1, 0})),
      attention("causal").with("unidirectional", int64_t{1}),
      attention("causal_and_mask").fed(padded).with("unidirectional", int64_t{1}),
      attention("filter_value").fed(padded).with("mask_filter_value", -2.0f),
      attention("scale").with("scale", 0.3f),
      attention("added_bias").omitted().omitted().fed(wave({2, 2, 3, 3}, 7)),
      attention("added_bias_broadcasts").omitted().omitted().fed(wave({1, 2, 3, 3}, 7)),
      attention("present").gives({P::kFloat, P::kFloat}),
      attention("past").omitted().fed(past).gives({P::kFloat, P::kFloat}),
      attention("past_causal")
          .omitted()
          .fed(past)
          .gives({P::kFloat, P::kFloat})
          .with("unidirectional", int64_t{1}),
      attention("past_mask")
          .fed(i32({2, 5}, {0, 1, 1, 1, 0, 1, 1, 1, 1, 1}))
          .fed(past)
          .gives({P::kFloat, P::kFloat}),
  };
  cases.push_back(P("Attention.sizes_of_values_differ", "com.microsoft.Attention")
                      .fed(wave({2, 3, 4}, 1))
                      .stored(wave({4, 14}, 2))
                      .stored(wave({14}, 3))
                      .with("num_heads", int64_t{2})
                      .with("qkv_hidden_sizes", Ints{4, 4, 6}));
  cases.push_back(P("QAttention.bytes", "com.microsoft.QAttention")
                      .fed(steps({1, 3, 4}, 1, 0, 255, DType::u8))
                      .stored(steps({4, 12}, 2, -127, 127, DType::i8))
                      .stored(wave({12}, 3))
                      .stored(Tensor::scalar(0.02f))
                      .stored(Tensor::scalar(0.01f))
                      .fed(i32({1, 3}, {1, 1, 0}))
                      .stored(Tensor::scalar<uint8_t>(128))
                      .stored(Tensor::scalar<int8_t>(0))
                      .with("num_heads", int64_t{2})
                      .within(1e-4));
  return cases;
}

std::vector<P> cross_attention() {
  const Tensor past = wave({2, 2, 2, 2}, 6), past_values = wave({2, 2, 2, 2}, 7);
  std::vector<P> cases = {
      multi_head("plain"),
      multi_head("bias").stored(wave({12}, 4)),
      multi_head("key_mask").omitted().fed(i32({2, 3}, {1, 1, 0, 1, 1, 1})),
      multi_head("mask_of_each_query")
          .omitted()
          .fed(i32({2, 3, 3}, {1, 0, 0, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1, 1, 1, 1})),
      multi_head("added_bias").omitted().omitted().fed(wave({1, 2, 3, 3}, 8)),
      multi_head("causal").with("unidirectional", int64_t{1}),
      multi_head("scale").with("scale", 0.25f),
      multi_head("past")
          .stored(wave({12}, 4))
          .omitted()
          .omitted()
          .fed(past)
          .fed(past_values)
          .gives({P::kFloat, P::kFloat, P::kFloat}),
      multi_head("past_causal")
          .omitted()
          .omitted()
          .omitted()
          .fed(past)
          .fed(past_values)
          .gives({P::kFloat, P::kFloat, P::kFloat})
          .with("unidirectional", int64_t{1}),
  };
  cases.push_back(P("MultiHeadAttention.values_of_another_size", "com.microsoft.MultiHeadAttention")
                      .fed(wave({1, 2, 4}, 1))
                      .fed(wave({1, 3, 4}, 2))
                      .fed(wave({1, 3, 6}, 3))
                      .with("num_heads", int64_t{2}));
  cases.push_back(P("MultiHeadAttention.keys_in_heads", "com.microsoft.MultiHeadAttention")
                      .fed(wave({2, 3, 4}, 1))
                      .fed(wave({2, 2, 4, 2}, 2))
                      .fed(wave({2, 2, 4, 2}, 3))
                      .stored(wave({12}, 4))
                      .with("num_heads", int64_t{2}));
  return cases;
}

/// Sequences of `now` queries, 4 heads of 16 that share 2 heads of keys, `past` keys before.
P grouped(const std::string& what, int64_t now, int64_t past, std::vector<int32_t> lengths) {
  const auto batch = int64_t(lengths.size());
  P c("GroupQueryAttention." + what, "com.microsoft.GroupQueryAttention");
  c.fed(wave({batch, now, 64}, 1)).fed(wave({batch, now, 32}, 2)).fed(wave({batch, now, 32}, 3));
  c.fed(wave({batch, 2, past, 16}, 4)).fed(wave({batch, 2, past, 16}, 5));
  for (int32_t& l : lengths) --l;
  c.fed(Tensor::from<int32_t>({batch}, std::span<const int32_t>(lengths)));
  c.stored(Tensor::scalar(int32_t(now + past)));
  return c.with("num_heads", int64_t{4})
      .with("kv_num_heads", int64_t{2})
      .gives({P::kFloat, P::kFloat, P::kFloat});
}

std::vector<P> grouped_attention() {
  const auto flag = int64_t{1};
  const Tensor cosines = wave({8, 8}, 6), sines = wave({8, 8}, 7);
  std::vector<P> cases = {
      grouped("prompt", 3, 0, {3, 3}),
      grouped("one_more", 1, 3, {4, 4}),
      grouped("several_more", 2, 3, {5}),
      grouped("rotates", 3, 0, {3, 3}).stored(cosines).stored(sines).with("do_rotary", flag),
      grouped("rotates_behind_a_past", 1, 3, {4, 4})
          .stored(cosines)
          .stored(sines)
          .with("do_rotary", flag),
      grouped("rotates_neighbours", 1, 3, {4, 4})
          .stored(cosines)
          .stored(sines)
          .with("do_rotary", flag)
          .with("rotary_interleaved", flag),
      grouped("window", 3, 0, {3, 3}).with("local_window_size", int64_t{2}),
      grouped("softcap", 3, 0, {3, 3}).with("softcap", 0.5f),
      grouped("scale", 3, 0, {3, 3}).with("scale", 0.2f),
  };
  cases.push_back(P("GroupQueryAttention.packed", "com.microsoft.GroupQueryAttention")
                      .fed(wave({2, 3, 64}, 1))
                      .omitted()
                      .omitted()
                      .fed(wave({2, 2, 0, 8}, 4))
                      .fed(wave({2, 2, 0, 8}, 5))
                      .fed(i32({2}, {2, 2}))
                      .stored(Tensor::scalar<int32_t>(3))
                      .with("num_heads", int64_t{4})
                      .with("kv_num_heads", int64_t{2})
                      .gives({P::kFloat, P::kFloat, P::kFloat}));
  return cases;
}

std::vector<P> rotary_embedding() {
  const Tensor positions = Tensor::from<int64_t>({2, 3}, {0, 1, 2, 3, 5, 7});
  const Tensor offset = Tensor::from<int64_t>({1}, {2});
  return {
      rotary("halves", wave({2, 3, 8}, 1), positions, 4),
      rotary("neighbours", wave({2, 3, 8}, 1), positions, 4).with("interleaved", int64_t{1}),
      rotary("from_a_position", wave({2, 3, 8}, 1), offset, 4),
      rotary("in_heads", wave({2, 2, 3, 4}, 1), positions, 4),
      rotary("part_of_a_head", wave({2, 3, 12}, 1), positions, 4)
          .with("num_heads", int64_t{2})
          .with("rotary_embedding_dim", int64_t{4}),
      rotary("part_of_a_head_neighbours", wave({2, 3, 12}, 1), positions, 4)
          .with("num_heads", int64_t{2})
          .with("rotary_embedding_dim", int64_t{4})
          .with("interleaved", int64_t{1}),
  };
}

}  // namespace

std::vector<PeerCase> attention_cases() {
  std::vector<P> all;
  for (auto make : {self_attention, cross_attention, grouped_attention, rotary_embedding})
    for (P& c : make()) all.push_back(std::move(c));
  return all;
}

}  // namespace espalier::testing

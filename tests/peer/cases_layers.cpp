// Fused layers of com.microsoft.
#include "tests/peer/cases.h"

namespace espalier::testing {
namespace {

using P = PeerCase;
using Ints = std::vector<int64_t>;

P microsoft(const std::string& op, const std::string& what) {
  return P(op + "." + what, "com.microsoft." + op);
}

std::vector<P> normalisations() {
  const Tensor x = wave({2, 3, 4}, 1), skip = wave({2, 3, 4}, 2);
  const Tensor gamma = wave({4}, 3), beta = wave({4}, 4), bias = wave({4}, 5);
  const auto sum_too = {P::kFloat, P::kNothing, P::kNothing, P::kFloat};
  const auto skip_norm = [&](const std::string& what) {
    return microsoft("SkipLayerNormalization", what).fed(x).fed(skip).stored(gamma);
  };
  const auto skip_simple = [&](const std::string& what) {
    return microsoft("SkipSimplifiedLayerNormalization", what).fed(x).fed(skip).stored(gamma);
  };
  std::vector<P> cases = {
      skip_norm("plain").stored(beta),
      skip_norm("bias_and_sum").stored(beta).stored(bias).gives(sum_too),
      skip_norm("no_beta").with("epsilon", 0.1f),
      skip_simple("plain").with("epsilon", 1e-5f),
      skip_simple("bias_and_sum").stored(bias).gives(sum_too).with("epsilon", 1e-5f),
      P("SimplifiedLayerNormalization.plain", "SimplifiedLayerNormalization")
          .fed(x)
          .stored(gamma)
          .with("epsilon", 1e-3f)
          .with("stash_type", int64_t{1}),
      P("SimplifiedLayerNormalization.two_axes", "SimplifiedLayerNormalization")
          .fed(x)
          .stored(wave({3, 4}, 3))
          .with("axis", int64_t{1}),
  };
  cases.push_back(microsoft("SkipLayerNormalization", "skip_broadcasts")
                      .fed(x)
                      .fed(wave({1, 3, 4}, 2))
                      .stored(gamma)
                      .stored(beta));
  return cases;
}

std::vector<P> embeddings() {
  const auto ids = [](int seed, int hi) { return steps({2, 3}, seed, 0, hi, DType::i32); };
  const auto embed = [&](const std::string& what) {
    return microsoft("EmbedLayerNormalization", what)
        .fed(ids(1, 9))
        .fed(ids(2, 1))
        .stored(wave({10, 4}, 1))
        .stored(wave({5, 4}, 2))
        .stored(wave({2, 4}, 3))
        .stored(wave({4}, 4))
        .stored(wave({4}, 5))
        .gives({P::kFloat, P::kI32});
  };
  return {
      embed("plain"),
      embed("mask")
          .fed(Tensor::from<int32_t>({2, 3}, {1, 1, 0, 1, 1, 1}))
          .gives({P::kFloat, P::kI32}),
      embed("positions_and_sum").omitted().fed(ids(3, 4)).gives({P::kFloat, P::kI32, P::kFloat}),
      microsoft("EmbedLayerNormalization", "no_segments")
          .fed(ids(1, 9))
          .omitted()
          .stored(wave({10, 4}, 1))
          .stored(wave({5, 4}, 2))
          .omitted()
          .stored(wave({4}, 4))
          .stored(wave({4}, 5))
          .gives({P::kFloat, P::kI32})
          .with("epsilon", 0.01f),
  };
}

std::vector<P> activations() {
  const Tensor x = wave({2, 5}, 1, 3);
  return {
      microsoft("Gelu", "plain").fed(x),
      microsoft("BiasGelu", "plain").fed(x).stored(wave({5}, 2)),
      microsoft("FastGelu", "plain").fed(x),
      microsoft("FastGelu", "bias").fed(x).stored(wave({5}, 2)),
      microsoft("QuickGelu", "plain").fed(x),
      microsoft("QuickGelu", "alpha").fed(x).with("alpha", 0.7f),
  };
}

std::vector<P> products() {
  const auto flag = int64_t{1};
  std::vector<P> cases = {
      microsoft("FusedMatMul", "alpha")
          .fed(wave({2, 3}, 1))
          .stored(wave({3, 4}, 2))
          .with("alpha", 0.5f),
      microsoft("FusedMatMul", "both_turned")
          .fed(wave({2, 3, 2}, 1))
          .fed(wave({2, 4, 3}, 2))
          .with("transA", flag)
          .with("transB", flag),
      microsoft("FusedMatMul", "batch_turned")
          .fed(wave({3, 2, 4}, 1))
          .fed(wave({2, 4, 5}, 2))
          .with("transBatchA", flag),
      microsoft("FusedMatMul", "batch_and_matrix_turned")
          .fed(wave({4, 2, 3}, 1))
          .fed(wave({4, 2, 5}, 2))
          .with("transA", flag)
          .with("transBatchA", flag)
          .with("transBatchB", flag),
      microsoft("TransposeMatMul", "turned")
          .fed(wave({2, 3}, 1))
          .fed(wave({4, 3}, 2))
          .with("transB", flag),
      microsoft("FusedGemm", "leaky")
          .fed(wave({2, 3}, 1))
          .stored(wave({4, 3}, 2))
          .stored(wave({4}, 3))
          .with("transB", flag)
          .with("alpha", 0.5f)
          .with("activation", std::string("LeakyRelu"))
          .with("activation_alpha", 0.2f),
      microsoft("FusedGemm", "relu")
          .fed(wave({2, 3}, 1))
          .stored(wave({3, 4}, 2))
          .with("activation", std::string("Relu")),
  };
  const auto conv = [&](const std::string& what) {
    return microsoft("FusedConv", what)
        .fed(wave({1, 2, 5, 5}, 1))
        .stored(wave({3, 2, 3, 3}, 2))
        .stored(wave({3}, 3))
        .with("pads", Ints{1, 1, 1, 1});
  };
  cases.push_back(conv("relu").with("activation", std::string("Relu")));
  cases.push_back(
      conv("sum_then_relu").fed(wave({1, 3, 5, 5}, 4)).with("activation", std::string("Relu")));
  cases.push_back(conv("clip")
                      .with("activation", std::string("Clip"))
                      .with("activation_params", std::vector<float>{-0.5f, 0.5f}));
  cases.push_back(conv("hard_sigmoid")
                      .with("activation", std::string("HardSigmoid"))
                      .with("activation_params", std::vector<float>{0.3f, 0.4f}));
  cases.push_back(conv("leaky")
                      .with("activation", std::string("LeakyRelu"))
                      .with("activation_params", std::vector<float>{0.2f}));
  return cases;
}

/// A weight of `n` rows by `k` in blocks, and its scales.
P few_bits(const std::string& what, int64_t n, int64_t k, int64_t bits, int64_t block) {
  const int64_t blocks = (k + block - 1) / block;
  return microsoft("MatMulNBits", what)
      .fed(wave({2, k}, 1))
      .stored(steps({n, blocks, block * bits / 8}, 2, 0, 255, DType::u8))
      .stored(wave({n * blocks}, 3, 0.1))
      .with("N", n)
      .with("K", k)
      .with("bits", bits)
      .with("block_size", block)
      .within(1e-4);
}

std::vector<P> weights_of_few_bits() {
  return {
      few_bits("four_bits", 3, 32, 4, 16),
      few_bits("last_block_is_short", 3, 40, 4, 16),
      few_bits("zero_points", 3, 48, 4, 16).stored(steps({3 * 2}, 4, 0, 255, DType::u8)),
      few_bits("float_zero_points", 3, 32, 4, 16).stored(wave({3 * 2}, 4, 8)),
      few_bits("bias", 3, 32, 4, 16).omitted().omitted().stored(wave({3}, 5)),
      few_bits("eight_bits", 3, 32, 8, 16),
      few_bits("eight_bits_zero_points", 3, 32, 8, 16).stored(steps({6}, 4, 0, 255, DType::u8)),
      few_bits("two_bits", 3, 64, 2, 32),
  };
}

}  // namespace

std::vector<PeerCase> layer_cases() {
  std::vector<P> all;
  for (auto make : {normalisations, embeddings, activations, products, weights_of_few_bits})
    for (P& c : make()) all.push_back(std::move(c));
  return all;
}

}  // namespace espalier::testing

// Activations kept in 8 bits between the passes: what the backward pass then reads, how many bytes
// that are, and that memory is planned for no more.
#include "train/saved_activations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/rng.h"
#include "ir/verify.h"
#include "tests/train/networks.h"
#include "train/recompute.h"
#include "train/step_session.h"
#include "train/trainer.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;

constexpr Float8Groups kGroups = {&kE4M3, 16, false};

StepGraph step_of(const Graph& network, Shape input, DType type = DType::f32,
                  DType precision = DType::f32) {
  StepOptions o;
  o.input = std::move(input);
  o.input_type = type;
  o.precision = precision;
  o.optimizer = {"sgd", {{"momentum", 0}}, 0};
  return build_training_step(network, o);
}

Batch batch_of(const StepGraph& s, int64_t classes) {
  const Rng rng(7, 1);
  const TensorType& x = s.graph.value(s.input).tensor();
  const TensorType& y = s.graph.value(s.targets).tensor();
  Batch b{Tensor(x.dtype, x.shape()), Tensor(y.dtype, y.shape())};
  for (int64_t i = 0; i < b.inputs.size(); ++i)
    if (x.dtype == DType::i64)
      b.inputs.mutable_data<int64_t>()[i] = int64_t(rng.bits(uint64_t(i)) % uint64_t(classes));
    else
      b.inputs.mutable_data<float>()[i] = float(rng.uniform(uint64_t(i), -1, 1));
  for (int64_t i = 0; i < b.targets.size(); ++i)
    b.targets.mutable_data<int64_t>()[i] =
        int64_t(rng.bits(uint64_t(100000 + i)) % uint64_t(classes));
  return b;
}

/// Layers of equal size, activated by what needs its operand again.
Graph deep(int layers, int64_t width) {
  Graph g;
  g.name = "deep";
  Builder b(g);
  ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(width)}));
  const auto linear = [&](const std::string& name, int64_t out) {
    return b.matmul(x, testing::parameter(g, name, {width, out}, 1 / std::sqrt(double(width))));
  };
  for (int i = 0; i < layers; ++i) x = b.one("Gelu", {linear("fc" + std::to_string(i), width)});
  g.add_output(linear("last", 5));
  return g;
}

/// One hidden layer, trained one step: the second weight's gradient reads the hidden layer through
/// `runs` scales.
void expect_stored_in(size_t runs, const char* activation, double (*function)(double)) {
  constexpr int64_t kBatch = 16, kIn = 4, kHidden = 32, kClasses = 3;
  const Graph net = testing::mlp(kIn, kHidden, kClasses, activation);
  const StepGraph plain = step_of(net, {kBatch, kIn});
  const StoredActivations stored = storing_activations(plain, kGroups);
  EXPECT_EQ(violation(stored.step.graph), "");
  StepSession before(plain), after(stored.step);
  const Batch batch = batch_of(plain, kClasses);
  const auto value = [&](const char* name) { return before.state(name); };
  const Tensor w1 = value("fc1.weight"), b1 = value("fc1.bias"), w2 = value("fc2.weight"),
               b2 = value("fc2.bias");
  before.run(batch, 1, 1);
  after.run(batch, 1, 1);
  EXPECT_EQ(before.scalar(plain.loss), after.scalar(stored.step.loss));

  std::vector<double> hidden(kBatch * kHidden), scales(runs);
  const size_t length = hidden.size() / runs;
  for (int64_t n = 0; n < kBatch; ++n)
    for (int64_t h = 0; h < kHidden; ++h) {
      double sum = b1.at(h);
      for (int64_t i = 0; i < kIn; ++i) sum += batch.inputs.at(n * kIn + i) * w1.at(h * kIn + i);
      hidden[size_t(n * kHidden + h)] = function(sum);
    }
  for (size_t run = 0; run < runs; ++run) {
    double most = 0;
    for (size_t i = 0; i < length; ++i) most = std::max(most, std::abs(hidden[run * length + i]));
    scales[run] = double(float(group_scale(float(most)))) / 448;
  }
  double largest = 0, moved = 0;
  for (int64_t c = 0; c < kClasses; ++c)
    for (int64_t h = 0; h < kHidden; ++h) {
      double gradient = 0, exact = 0;
      for (int64_t n = 0; n < kBatch; ++n) {
        double logits[kClasses], sum = 0;
        for (int64_t k = 0; k < kClasses; ++k) {
          logits[k] = b2.at(k);
          for (int64_t i = 0; i < kHidden; ++i)
            logits[k] += hidden[size_t(n * kHidden + i)] * w2.at(k * kHidden + i);
          sum += std::exp(logits[k]);
        }
        const double d = std::exp(logits[c]) / sum - (batch.targets.at(n) == double(c) ? 1 : 0);
        const double x = hidden[size_t(n * kHidden + h)],
                     scale = scales[size_t(n * kHidden + h) / length];
        gradient += d / kBatch * scale * double(kE4M3.decode(kE4M3.encode(float(x / scale))));
        exact += d / kBatch * x;
      }
      const double got = w2.at(c * kHidden + h) - after.state("fc2.weight").at(c * kHidden + h);
      const double whole = w2.at(c * kHidden + h) - before.state("fc2.weight").at(c * kHidden + h);
      EXPECT_NEAR(got, gradient, 1e-6);
      EXPECT_NEAR(whole, exact, 1e-6);
      largest = std::max(largest, std::abs(exact));
      moved = std::max(moved, std::abs(got - whole));
    }
  EXPECT_GT(moved, 1e-3 * largest);
  EXPECT_LT(moved, 0.06 * largest);
}

TEST(SavedActivations, ProductsReadWhatIsStored) {
  expect_stored_in(1, "Gelu", [](double v) { return v * 0.5 * std::erfc(-v / std::sqrt(2.0)); });
}

/// Relu's gradient, which is no product, reads what Relu gave.
TEST(SavedActivations, WhatOthersReadTooIsStoredInRuns) {
  expect_stored_in(16 * 32 / 16, "Relu", [](double v) { return std::max(v, 0.0); });
}

TEST(SavedActivations, BytesAreCounted) {
  constexpr int64_t kBatch = 64, kWidth = 32, kLayers = 3, kAll = kBatch * kWidth;
  const StepGraph s = step_of(deep(kLayers, kWidth), {kBatch, kWidth});
  // Of each layer what Gelu reads, in groups, and what it gives, which products read; and what the
  // loss leaves behind.
  const int64_t rest = saved_bytes(s) - kLayers * 2 * 4 * kAll;
  EXPECT_GE(rest, 0);
  EXPECT_LE(rest, 2 * kBatch * 5 * 4);
  const StoredActivations stored = storing_activations(s, kGroups);
  EXPECT_EQ(stored.values, 2 * kLayers);
  EXPECT_EQ(stored.before, saved_bytes(s));
  EXPECT_EQ(stored.after, kLayers * (kAll + kAll / 16 * 2 + kAll + 2) + rest);
}

/// The wide values are not kept beside the codes: what memory is planned for falls by what was
/// counted, but for what is dequantised at one time.
TEST(SavedActivations, WideValuesAreFreed) {
  constexpr int64_t kBatch = 512, kWidth = 64, kLayers = 12;
  const StepGraph s = step_of(deep(kLayers, kWidth), {kBatch, kWidth});
  const StoredActivations stored = storing_activations(s, kGroups);
  const int64_t whole = StepSession(s).memory().arena;
  const int64_t less = StepSession(stored.step).memory().arena;
  constexpr int64_t kOne = kBatch * kWidth * 4;
  EXPECT_GT(stored.before - stored.after, kLayers * kOne);
  EXPECT_LE(less, whole - (stored.before - stored.after) + 3 * kOne);
}

/// Norms, attention, residuals and embeddings, in both precisions: the loss stays the same to the
/// last bit, gradients nearly so.
TEST(SavedActivations, GradientsOfATransformerAreNearlyTheSame) {
  constexpr int64_t kBatch = 4, kContext = 16, kWidth = 32, kVocabulary = 20;
  for (const DType precision : {DType::f32, DType::bf16}) {
    const StepGraph s = step_of(testing::small_gpt(kVocabulary, kContext, kWidth),
                                {kBatch, kContext}, DType::i64, precision);
    const StoredActivations stored = storing_activations(s, kGroups);
    EXPECT_EQ(violation(stored.step.graph), "");
    EXPECT_LT(double(stored.after), (precision == DType::f32 ? 0.5 : 0.75) * double(stored.before));
    StepSession before(s), after(stored.step);
    std::map<std::string, Tensor> first;
    for (const std::string& name : before.state_names()) first[name] = before.state(name);
    const Batch batch = batch_of(s, kVocabulary);
    before.run(batch, 1, 1);
    after.run(batch, 1, 1);
    EXPECT_EQ(before.scalar(s.loss), after.scalar(stored.step.loss));
    double dot = 0, one = 0, other = 0;
    for (const auto& [name, t] : first) {
      const Tensor a = before.state(name), b = after.state(name);
      for (int64_t i = 0; i < t.size(); ++i) {
        const double x = a.at(i) - t.at(i), y = b.at(i) - t.at(i);
        dot += x * y;
        one += x * x;
        other += y * y;
      }
    }
    EXPECT_GT(dot / std::sqrt(one * other), 0.995);
    EXPECT_LT(dot / std::sqrt(one * other), 1 - 1e-7);
  }
}

TEST(SavedActivations, WhatDoesNotGoTogetherIsRefused) {
  const auto refusal = [](const TrainOptions& o) -> std::string {
    try {
      o.check("training options");
    } catch (const UserError& e) {
      return e.what();
    }
    return "";
  };
  TrainOptions o;
  o.saved_activations = kGroups;
  EXPECT_EQ(refusal(o), "");
  o.memory = 1000000;
  EXPECT_THAT(refusal(o), HasSubstr("do not go together"));
  o.memory = 0;
  o.rule.kind = "spsa";
  EXPECT_THAT(refusal(o), HasSubstr("rule 'spsa' has not"));
}

}  // namespace
}  // namespace espalier

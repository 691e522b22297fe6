// Learning rules that send no exact gradient back, against the same done by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "base/error.h"
#include "base/log.h"
#include "tests/train/one_step.h"
#include "train/local_losses.h"
#include "train/trainer.h"

namespace espalier {
namespace {

using testing::batch_of;
using ::testing::HasSubstr;
using testing::options_of;
using testing::Taken;
using testing::taken;
const bool kQuiet = (set_quiet(true), true);
const std::vector<std::string> kLocal = {"tpsgd", "drtp", "dfa", "feedback_alignment"};

/// mlp(3, 8, 3) by hand: hidden activations, and the loss' gradient at the logits.
struct ByHand {
  static constexpr int64_t kIn = 3, kHidden = 8, kOut = 3;
  int64_t batch;
  std::vector<double> h, error;

  explicit ByHand(const Batch& b) : batch(b.inputs.shape()[0]) {
    const Graph g = testing::mlp(kIn, kHidden, kOut);
    const auto value = [&](const char* name) { return *g.value(g.find(name)).constant; };
    const Tensor w1 = value("fc1.weight"), b1 = value("fc1.bias"), w2 = value("fc2.weight"),
                 b2 = value("fc2.bias");
    for (int64_t n = 0; n < batch; ++n) {
      for (int64_t j = 0; j < kHidden; ++j) {
        double z = b1.at(j);
        for (int64_t i = 0; i < kIn; ++i) z += w1.at(j * kIn + i) * b.inputs.at(n * kIn + i);
        h.push_back(std::max(0.0, z));
      }
      std::vector<double> e(kOut);
      double sum = 0;
      for (int64_t k = 0; k < kOut; ++k) {
        double z = b2.at(k);
        for (int64_t j = 0; j < kHidden; ++j)
          z += w2.at(k * kHidden + j) * h[size_t(n * kHidden + j)];
        sum += e[size_t(k)] = std::exp(z);
      }
      for (int64_t k = 0; k < kOut; ++k)
        error.push_back((e[size_t(k)] / sum - (b.targets.int_at(n) == k)) / double(batch));
    }
  }

  /// The first layer's gradient where `signal` stands for that of its output.
  Tensor first(const Batch& b, const std::function<double(int64_t n, int64_t j)>& signal) const {
    Tensor g(DType::f32, {kHidden, kIn});
    for (int64_t j = 0; j < kHidden; ++j)
      for (int64_t i = 0; i < kIn; ++i) {
        double sum = 0;
        for (int64_t n = 0; n < batch; ++n)
          if (h[size_t(n * kHidden + j)] > 0) sum += signal(n, j) * b.inputs.at(n * kIn + i);
        g.mutable_data<float>()[j * kIn + i] = float(sum);
      }
    return g;
  }
};

void expect_close(const Tensor& got, const Tensor& want) {
  ASSERT_EQ(got.shape(), want.shape());
  for (int64_t e = 0; e < got.size(); ++e) EXPECT_NEAR(got.at(e), want.at(e), 1e-5) << e;
}

TEST(LocalRules, AreWhatTheyAreByHand) {
  const Shape input = {5, ByHand::kIn};
  const Batch batch = batch_of(input, ByHand::kOut);
  const ByHand hand(batch);
  const int64_t hidden = ByHand::kHidden, out = ByHand::kOut;
  const Graph network = testing::mlp(ByHand::kIn, hidden, out);
  const Taken exact = taken(network, options_of(input, {}), batch);
  const auto all = [&](const Rule& rule) {
    Taken t = taken(network, options_of(input, rule), batch);
    // The last layer learns from the loss, whatever the rule.
    expect_close(t.gradients["fc2.weight"], exact.gradients.at("fc2.weight"));
    expect_close(t.gradients["fc2.bias"], exact.gradients.at("fc2.bias"));
    return t;
  };
  const auto label = [&](int64_t n) { return batch.targets.int_at(n); };
  const auto off = [&](const Tensor& p, int64_t n, int64_t j) {
    return hand.h[size_t(n * hidden + j)] - p.at(label(n) * hidden + j);
  };

  const Taken squared = all({"tpsgd"});
  Tensor p = squared.fixed("fc1.weight:projection");
  expect_close(squared.gradients.at("fc1.weight"),
               hand.first(batch, [&](int64_t n, int64_t j) { return off(p, n, j) / 5; }));
  const Taken absolute = all({"tpsgd", {{"loss", 1}}});
  expect_close(absolute.gradients.at("fc1.weight"), hand.first(batch, [&](int64_t n, int64_t j) {
    return (off(p, n, j) > 0 ? 1.0 : -1.0) / 5;
  }));
  const Taken drtp = all({"drtp"});
  p = drtp.fixed("fc1.weight:projection");
  expect_close(drtp.gradients.at("fc1.weight"), hand.first(batch, [&](int64_t n, int64_t j) {
    return p.at(label(n) * hidden + j) / 5;
  }));
  const auto back_by = [&](const Tensor& matrix) {
    return hand.first(batch, [&, matrix](int64_t n, int64_t j) {
      double sum = 0;
      for (int64_t k = 0; k < out; ++k)
        sum += hand.error[size_t(n * out + k)] * matrix.at(k * hidden + j);
      return sum;
    });
  };
  const Taken dfa = all({"dfa"});
  expect_close(dfa.gradients.at("fc1.weight"), back_by(dfa.fixed("fc1.weight:projection")));
  const Taken aligned = all({"feedback_alignment"});
  expect_close(aligned.gradients.at("fc1.weight"), back_by(aligned.fixed("fc2.weight:feedback")));
  const Graph mlp = network;
  expect_close(exact.gradients.at("fc1.weight"),
               back_by(*mlp.value(mlp.find("fc2.weight")).constant));
}

/// With a residual addition: the first convolution's update does not know the second's weights.
TEST(LocalRules, NothingPassesFromLayerToLayer) {
  const Shape input = {6, 2, 6, 6};
  const Batch batch = batch_of(input, 4);
  const Graph network = testing::small_cnn(4);
  const Graph other =
      with_values(network, {{"conv2.weight", testing::random_tensor({4, 4, 3, 3}, "other", 0.5)}});
  for (const char* kind : {"tpsgd", "drtp"}) {
    const Taken a = taken(network, options_of(input, {kind}), batch);
    const Taken b = taken(other, options_of(input, {kind}), batch);
    EXPECT_TRUE(a.gradients.at("conv1.weight").identical(b.gradients.at("conv1.weight"))) << kind;
    EXPECT_FALSE(a.gradients.at("fc.weight").identical(b.gradients.at("fc.weight"))) << kind;
  }
  const Taken a = taken(network, options_of(input, {}), batch);
  const Taken b = taken(other, options_of(input, {}), batch);
  EXPECT_FALSE(a.gradients.at("conv1.weight").identical(b.gradients.at("conv1.weight")));
}

TEST(LocalRules, LayersEndWhereTheNextOneReads) {
  const StepOptions o = options_of({6, 2, 6, 6}, {"tpsgd"});
  const StepGraph step = build_training_step(testing::small_cnn(4), o);
  const auto fixed = [&](const std::string& name) {
    return *step.graph.value(step.graph.find(name)).constant;
  };
  // One target for the mean of each channel.
  EXPECT_EQ(fixed("conv1.weight:projection").shape(), (Shape{4, 4}));
  const StepGraph elements = build_training_step(
      testing::small_cnn(4), options_of({6, 2, 6, 6}, {"tpsgd", {{"maps", 1}}}));
  const ValueId map = elements.graph.find("conv1.weight:projection");
  EXPECT_EQ(elements.graph.value(map).constant->shape(), (Shape{4, 4 * 6 * 6}));
  // Behind the pool, before it is flattened.
  EXPECT_EQ(fixed("conv2.weight:projection").shape(), (Shape{4, 4}));
  EXPECT_EQ(step.graph.find("fc.weight:projection"), kNoValue);
}

/// h_t = tanh(W x_t + R h_(t-1) + b), then a linear layer on the last state.
Graph recurrent(int64_t time, int64_t in, int64_t hidden, int64_t out) {
  Graph g;
  g.name = "recurrent";
  Builder b(g);
  const ValueId x =
      g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(time), Dim(in)}));
  const ValueId w = testing::parameter(g, "w", {1, hidden, in}, 0.5);
  const ValueId r = testing::parameter(g, "r", {1, hidden, hidden}, 0.3);
  const ValueId c = testing::parameter(g, "c", {1, 2 * hidden}, 0.1);
  const Values results =
      b.op("RNN", {b.transpose(x, {1, 0, 2}), w, r, c}, {{"hidden_size", hidden}}, "rnn");
  const ValueId last = b.one("Squeeze", {results.at(1), b.ints({0})});
  const ValueId head = testing::parameter(g, "fc.weight", {out, hidden}, 0.5);
  g.add_output(b.one("Gemm", {last, head}, {{"transB", int64_t{1}}}, "fc"));
  return g;
}

TEST(LocalRules, ARecurrenceLearnsAtEachStepAndNotThroughTime) {
  const int64_t time = 3, in = 2, hidden = 4, batch = 5;
  const Batch data = batch_of({batch, time, in}, 3);
  const Graph network = recurrent(time, in, hidden, 3);
  const Taken t = taken(network, options_of({batch, time, in}, {"tpsgd"}), data);
  const Tensor p = t.fixed("w:projection");
  ASSERT_EQ(p.shape(), (Shape{3, hidden}));
  const auto value = [&](const char* name) { return *network.value(network.find(name)).constant; };
  const Tensor w = value("w"), r = value("r"), c = value("c");
  std::vector<double> dw(size_t(hidden * in)), dr(size_t(hidden * hidden));
  for (int64_t n = 0; n < batch; ++n) {
    std::vector<double> h(size_t(hidden), 0.0);
    for (int64_t s = 0; s < time; ++s) {
      const auto x = [&](int64_t i) { return data.inputs.at((n * time + s) * in + i); };
      std::vector<double> next;
      for (int64_t j = 0; j < hidden; ++j) {
        double z = c.at(j) + c.at(hidden + j);
        for (int64_t i = 0; i < in; ++i) z += w.at(j * in + i) * x(i);
        for (int64_t k = 0; k < hidden; ++k) z += r.at(j * hidden + k) * h[size_t(k)];
        next.push_back(std::tanh(z));
      }
      for (int64_t j = 0; j < hidden; ++j) {
        const double y = next[size_t(j)];
        const double d =
            (y - p.at(data.targets.int_at(n) * hidden + j)) * (1 - y * y) / double(batch);
        for (int64_t i = 0; i < in; ++i) dw[size_t(j * in + i)] += d * x(i);
        for (int64_t k = 0; k < hidden; ++k) dr[size_t(j * hidden + k)] += d * h[size_t(k)];
      }
      h = next;
    }
  }
  for (size_t e = 0; e < dw.size(); ++e)
    EXPECT_NEAR(t.gradients.at("w").at(int64_t(e)), dw[e], 1e-5) << e;
  for (size_t e = 0; e < dr.size(); ++e)
    EXPECT_NEAR(t.gradients.at("r").at(int64_t(e)), dr[e], 1e-5) << e;
}

TEST(LocalRules, ALayerIsDoneWithOnceItHasAnswered) {
  Graph g;
  g.name = "deep";
  Builder b(g);
  ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(16)}));
  for (int layer = 0; layer < 8; ++layer)
    x = b.one(
        "Relu",
        {b.one("Gemm", {x, testing::parameter(g, "w" + std::to_string(layer), {16, 16}, 0.3)})});
  g.add_output(b.one("Gemm", {x, testing::parameter(g, "head", {16, 4}, 0.3)}));
  const auto arena = [&](const std::string& kind) {
    return StepSession(build_training_step(g, options_of({256, 16}, {kind}))).memory().arena;
  };
  EXPECT_LT(2 * arena("tpsgd"), arena("backprop"));
}

TEST(LocalRules, AllLearn) {
  const auto data = testing::blobs(400, 5, 1), test = testing::blobs(200, 5, 9);
  for (const std::string& kind : kLocal) {
    TrainOptions o;
    o.epochs = 12;
    o.batch = 16;
    o.seed = 3;
    o.optimizer = {"sgd", {}, 0};
    o.rule.kind = kind;
    o.schedule.peak = 0.05;
    Trainer trainer(testing::mlp(2, 24, 5), data, test, o);
    trainer.train();
    EXPECT_GT(trainer.evaluate(*test).accuracy, 0.9) << kind;
    EXPECT_EQ(trainer.queries(), 0);
  }
}

TEST(LocalRules, RefuseWhatHasNoTargetForASample) {
  StepOptions o = options_of({2, 4}, {"tpsgd"});
  o.input_type = DType::i64;
  for (const char* kind : {"tpsgd", "drtp"}) {
    o.rule.kind = kind;
    std::string error;
    try {
      build_training_step(testing::small_gpt(7, 4, 8), o);
    } catch (const UserError& e) {
      error = e.what();
    }
    EXPECT_THAT(error, HasSubstr("rule '" + std::string(kind) + "'")) << kind;
  }
}

}  // namespace
}  // namespace espalier

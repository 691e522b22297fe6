// Unified normalisation in training: its statistics, those of gradients too, are states of the
// step, and what is handed over computes the same folded as it was.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/log.h"
#include "base/threads.h"
#include "ir/interpret.h"
#include "runtime/session.h"
#include "tests/train/networks.h"
#include "train/trainer.h"

namespace espalier {
namespace {

const bool kQuiet = (set_quiet(true), true);
constexpr int64_t kHidden = 8, kWindow = 3;

/// A hidden layer, normalised before and behind its Relu, once for a linear layer alone.
Graph network() {
  Graph g;
  g.name = "normalised";
  Builder b(g);
  const auto norm = [&](ValueId v, const std::string& name, int64_t channels) {
    const auto vector = [&](const char* part, Shape shape, float value, Role role) {
      Tensor t(DType::f32, std::move(shape));
      for (int64_t i = 0; i < t.size(); ++i) t.mutable_data<float>()[i] = value;
      return g.add_constant(name + part, t, role);
    };
    return b
        .op("espalier.UnifiedNormalization",
            {v, vector(".weight", {channels}, 1, Role::kParameter),
             vector(".bias", {channels}, 0.1f, Role::kParameter),
             vector(".running_square", {channels}, 1, Role::kBuffer),
             vector(".statistics", {kWindow + 4, channels}, 0, Role::kBuffer),
             vector(".gradient_statistics", {kWindow + 1, channels}, 0, Role::kBuffer)},
            {{"window", kWindow}, {"warmup", int64_t{5}}}, name)
        .at(0);
  };
  ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(2)}));
  x = b.one("Gemm",
            {x, testing::parameter(g, "fc1.weight", {kHidden, 2}, 0.5),
             testing::parameter(g, "fc1.bias", {kHidden}, 0.1)},
            {{"transB", int64_t{1}}}, "fc1");
  x = norm(b.one("Relu", {norm(x, "norm1", kHidden)}), "norm2", kHidden);
  g.add_output(b.add(b.matmul(x, testing::parameter(g, "fc2.weight", {kHidden, 3}, 0.4)),
                     testing::parameter(g, "fc2.bias", {3}, 0.1)));
  return g;
}

TrainOptions options() {
  TrainOptions o;
  o.epochs = 6;
  o.batch = 16;
  o.seed = 3;
  o.schedule.peak = 0.05;
  o.log_every = 0;
  return o;
}

Tensor value(const Graph& g, const std::string& name) { return *g.value(g.find(name)).constant; }

TEST(UnifiedNorm, TrainsWithItsStatisticsAsStates) {
  const ThreadScope one_thread(1);
  const auto data = testing::blobs(96, 3, 1), held_out = testing::blobs(60, 3, 2);
  Trainer trainer(network(), data, nullptr, options());
  trainer.train();
  EXPECT_GT(trainer.evaluate(*held_out).accuracy, 0.8);
  const Graph after = trainer.network();
  for (const std::string norm : {"norm1", "norm2"}) {
    // Row 2 counts the steps.
    EXPECT_EQ(value(after, norm + ".statistics").at(2 * kHidden), 36);
    for (const char* part : {".running_square", ".statistics", ".gradient_statistics"})
      EXPECT_FALSE(value(after, norm + part).identical(value(network(), norm + part)))
          << norm << part;
    const Tensor gradients = value(after, norm + ".gradient_statistics");
    double sum = 0;
    for (int64_t i = 0; i < gradients.size(); ++i) sum += std::abs(gradients.at(i));
    EXPECT_GT(sum, 0) << norm;
  }
}

TEST(UnifiedNorm, AnswersTheSameFolded) {
  const ThreadScope one_thread(1);
  Trainer trainer(network(), testing::blobs(96, 3, 1), nullptr, options());
  trainer.train();
  const Graph g = trainer.network();
  const Tensor x = testing::random_tensor({4, 2}, "x", 1);
  const Tensor want = interpret(g, std::vector<Tensor>{x}).at(0);
  const auto program = compile(specialised(g, std::vector<Shape>{x.shape()}));
  // Two layers, and an affine map with its Relu.
  EXPECT_LE(program->instructions().size(), 3u);
  for (const InstructionInfo& i : program->instructions()) EXPECT_FALSE(i.reference) << i.node;
  Session session(program);
  const Tensor got = session.run({x}).at(0);
  for (int64_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got.at(i), want.at(i), 1e-5);
}

TEST(UnifiedNorm, StatisticsStayInEvalMode) {
  const ThreadScope one_thread(1);
  TrainOptions o = options();
  o.norms = {{NormMode::kEval, {}}};
  Trainer trainer(network(), testing::blobs(96, 3, 1), nullptr, o);
  trainer.train();
  const Graph after = trainer.network();
  const auto stays = [&](const std::string& name) {
    return value(after, name).identical(value(network(), name));
  };
  EXPECT_TRUE(stays("norm1.statistics"));
  EXPECT_TRUE(stays("norm1.gradient_statistics"));
  EXPECT_FALSE(stays("norm1.weight"));
}

}  // namespace
}  // namespace espalier

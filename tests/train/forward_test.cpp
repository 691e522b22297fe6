// The training form of a network.
#include "train/forward.h"

#include <gtest/gtest.h>

#include "ir/interpret.h"
#include "ops/catalogue.h"
#include "train/step.h"

namespace espalier {
namespace {

constexpr int64_t kWidth = 64;

/// y = dropout(dropout(x w)), the trained w all ones.
Graph dropping_network() {
  ops::register_rooms();
  Graph g;
  const ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), 1}));
  Tensor ones(DType::f32, {1, kWidth});
  std::fill_n(ones.mutable_data<float>(), kWidth, 1.0f);
  const ValueId w = g.add_constant("w", ones, Role::kParameter);
  Builder b(g);
  const ValueId first = b.op("Dropout", {b.matmul(x, w)}, {}, "a").at(0);
  const ValueId second = b.op("Dropout", {first}, {}, "b", {"step"}).at(0);
  g.add_output(second);
  return g;
}

/// What is left of ones after training form at `step`.
std::vector<float> left(uint64_t seed, int64_t step) {
  const Graph network = dropping_network();
  const Forward f = training_forward(network, {DType::f32, Shape{1, 1}}, "", seed);
  std::vector<Tensor> feed;
  for (ValueId v : f.graph.inputs()) {
    const std::string& name = f.graph.value(v).name;
    feed.push_back(name == "w"      ? *network.value(network.find("w")).constant
                   : name == f.step ? Tensor::scalar(step)
                                    : Tensor::from<float>({1, 1}, {1.0f}));
  }
  const Tensor y = interpret(f.graph, feed).at(0);
  return {y.span<float>().begin(), y.span<float>().end()};
}

TEST(TrainingForward, DrawsAreAFunctionOfSeedNodeAndStep) {
  EXPECT_EQ(left(1, 5), left(1, 5));
  EXPECT_NE(left(1, 5), left(1, 6));
  EXPECT_NE(left(1, 5), left(2, 5));
  // Two nodes that dropped alike would leave half; independent ones leave a quarter at 4.
  int64_t kept = 0;
  for (int64_t step = 0; step < 16; ++step)
    for (float v : left(1, step)) {
      EXPECT_TRUE(v == 0 || v == 4) << v;
      kept += v != 0;
    }
  EXPECT_NEAR(double(kept), 16 * kWidth / 4.0, 60);
}

TEST(TrainingForward, TheStepNumberIsOneInputOfTheStep) {
  const Graph network = dropping_network();
  StepOptions options;
  options.input = {2, 1};
  options.loss = Loss::kMeanSquared;
  const StepGraph s = build_training_step(network, options);
  EXPECT_EQ(s.initial.count("w"), 1u);
  int64_t scalars = 0;
  for (ValueId v : s.graph.inputs())
    scalars += s.graph.value(v).type == Type(TensorType(DType::i64, Dims{}));
  EXPECT_EQ(scalars, 1);
  ASSERT_NE(s.step, kNoValue);
  EXPECT_TRUE(s.initial.find(s.graph.value(s.step).name) == s.initial.end());
}

}  // namespace
}  // namespace espalier

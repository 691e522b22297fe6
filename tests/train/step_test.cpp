#include "train/step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "base/error.h"
#include "ir/room.h"
#include "ir/verify.h"
#include "runtime/session.h"
#include "tests/train/networks.h"
#include "train/forward.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;

/// A step compiled, with its states set.
struct Running {
  StepGraph step;
  Session session;

  explicit Running(StepGraph s) : step(std::move(s)), session(compile(step.graph)) {
    for (const auto& [name, first] : step.initial) session.set_state(name, first);
  }
  /// The loss of one step.
  double operator()(const Tensor& x, const Tensor& targets, float rate, int64_t number = 1) {
    std::vector<Tensor> inputs;
    for (const std::string& name : session.program().input_names()) {
      const ValueId v = step.graph.find(name);
      if (v == step.input)
        inputs.push_back(x);
      else if (v == step.targets)
        inputs.push_back(targets);
      else if (v == step.rate)
        inputs.push_back(Tensor::scalar(rate));
      else if (v == step.step)
        inputs.push_back(Tensor::scalar(number));
      else
        inputs.push_back(step.extra_inputs.at(name));
    }
    return session.run(inputs).at(0).at(0);
  }
};

/// y = x w with one weight, and its bias.
Graph line() {
  Graph g;
  g.name = "line";
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(1)}));
  const ValueId w = g.add_constant("w", Tensor::from<float>({1, 1}, {2}), Role::kParameter);
  const ValueId c = g.add_constant("b", Tensor::from<float>({1}, {1}), Role::kParameter);
  g.add_output(b.one("Gemm", {x, w, c}));
  return g;
}

StepOptions squared(Optimizer optimizer) {
  StepOptions o;
  o.input = {2, 1};
  o.loss = Loss::kMeanSquared;
  o.optimizer = optimizer;
  return o;
}

const Optimizer kPlainSgd{"sgd", {{"momentum", 0}, {"nesterov", 0}}, 0};
const Tensor kX = Tensor::from<float>({2, 1}, {1, 3});
const Tensor kY = Tensor::from<float>({2, 1}, {0, 0});

// Residuals are 3 and 7: loss (9 + 49) / 2, dw = 3 * 1 + 7 * 3 = 24, db = 3 + 7 = 10.
TEST(Step, SgdWithNesterovMomentumAndDecayByHand) {
  const Optimizer sgd{"sgd", {{"momentum", 0.5}}, 0.1};
  Running run(build_training_step(line(), squared(sgd)));
  EXPECT_EQ(violation(run.step.graph), "");
  EXPECT_NEAR(run(kX, kY, 0.01f), 29, 1e-5);
  // Decay reaches the weight (two axes), not the bias: g = 24 + 0.1 * 2; p -= lr (g + 0.5 g).
  const double w = 2 - 0.01 * 1.5 * 24.2, b = 1 - 0.01 * 1.5 * 10;
  EXPECT_NEAR(run.session.state("w").at(0), w, 1e-5);
  EXPECT_NEAR(run.session.state("b").at(0), b, 1e-5);
  EXPECT_NEAR(run.session.state("w:velocity").at(0), 24.2, 1e-4);
  run(kX, kY, 0.01f, 2);
  const double r1 = w + b, r2 = 3 * w + b, g = r1 + 3 * r2 + 0.1 * w;
  const double velocity = 0.5 * 24.2 + g;
  EXPECT_NEAR(run.session.state("w").at(0), w - 0.01 * (g + 0.5 * velocity), 1e-4);
}

// The penalty (w^2 + b^2) / 2 adds w = 2 and b = 1 to the gradients 24 and 10, not to the loss
// told.
TEST(Step, PenaltiesAreMinimisedBesideTheLoss) {
  StepExtension e;
  e.on_loss = [](StepGraph& s) {
    Builder b(s.graph);
    for (const StepParameter& p : s.parameters) {
      std::vector<int64_t> axes(size_t(b.type(p.value).rank()));
      for (size_t i = 0; i < axes.size(); ++i) axes[i] = int64_t(i);
      s.add_penalty(b.mul(b.reduce_sum(b.mul(p.value, p.value), axes, false), 0.5));
    }
  };
  Running run(build_training_step(line(), squared(kPlainSgd), std::array{e}));
  EXPECT_EQ(violation(run.step.graph), "");
  EXPECT_NEAR(run(kX, kY, 0.01f), 29, 1e-5);
  EXPECT_NEAR(run.session.state("w").at(0), 2 - 0.01 * 26, 1e-5);
  EXPECT_NEAR(run.session.state("b").at(0), 1 - 0.01 * 11, 1e-5);
}

TEST(Step, AdamWByHand) {
  const Optimizer adam{"adamw", {}, 0.1};
  Running run(build_training_step(line(), squared(adam)));
  run(kX, kY, 0.01f, 1);
  // The first step of Adam is the learning rate in the direction of the sign.
  EXPECT_NEAR(run.session.state("w").at(0), 2 * (1 - 0.01 * 0.1) - 0.01, 1e-6);
  EXPECT_NEAR(run.session.state("b").at(0), 1 - 0.01, 1e-6);
  EXPECT_NEAR(run.session.state("w:second").at(0), 0.001 * 24 * 24, 1e-4);
}

// c = 0.1 g has the sign of g; m = 0.01 g.
TEST(Step, LionByHand) {
  Running run(build_training_step(line(), squared({"lion", {}, 0.5})));
  run(kX, kY, 0.01f);
  EXPECT_NEAR(run.session.state("w").at(0), 2 * (1 - 0.01 * 0.5) - 0.01, 1e-6);
  EXPECT_NEAR(run.session.state("b").at(0), 1 - 0.01, 1e-6);
  EXPECT_NEAR(run.session.state("w:momentum").at(0), 0.01 * 24, 1e-5);
}

// The first step forgets everything before it: beta2 = 0, so u = g / |g|, whose root mean square
// is 1; it is scaled by the parameter's size, 2 and 1.
TEST(Step, AdafactorByHand) {
  Running run(build_training_step(line(), squared({"adafactor", {}, 0})));
  run(kX, kY, 0.01f, 1);
  EXPECT_NEAR(run.session.state("w").at(0), 2 - 0.01 * 2, 1e-5);
  EXPECT_NEAR(run.session.state("b").at(0), 1 - 0.01, 1e-5);
  EXPECT_NEAR(run.session.state("w:rows").at(0), 24 * 24, 1e-2);
  EXPECT_NEAR(run.session.state("b:second").at(0), 100, 1e-3);
}

TEST(Step, OptimisersKeepTheBytesTheyAreKnownFor) {
  const int64_t matrices = 4 * (16 * 2 + 5 * 16), vectors = 4 * (16 + 5);
  const int64_t sides = 2 * 4 * (16 * 16 + 2 * 2 + 5 * 5 + 16 * 16);
  const std::map<std::string, int64_t> known = {
      {"sgd", matrices + vectors},
      {"adamw", 2 * (matrices + vectors)},
      {"lion", matrices + vectors},
      {"adafactor", 4 * (16 + 2 + 5 + 16) + vectors},
      {"soap", 2 * (matrices + vectors) + sides},
      {"shampoo", 2 * (matrices + vectors) + sides},
      {"frugal", matrices / 2 + 2 * vectors},
      {"galore", 4 * (2 + 2 * 16 + 5 + 2 * 16) + 2 * vectors},
      {"badam", matrices / 2 + 2 * vectors},
      {"signsgd", 0}};
  for (const std::string& kind : optimizer_names()) {
    StepOptions o;
    o.input = {4, 2};
    o.optimizer.kind = kind;
    const StepGraph step = build_training_step(testing::mlp(2, 16, 5), o);
    EXPECT_EQ(violation(step.graph), "") << kind;
    ASSERT_TRUE(known.contains(kind)) << kind;
    EXPECT_EQ(step.optimizer_bytes, known.at(kind)) << kind;
  }
}

TEST(Step, ClippingScalesAllGradientsTogether) {
  StepOptions o = squared(kPlainSgd);
  o.clip_norm = 2.6;
  Running run(build_training_step(line(), o));
  run(kX, kY, 1);
  // The norm of (24, 10) is 26.
  EXPECT_NEAR(run.session.state("w").at(0), 2 - 2.4, 1e-5);
  EXPECT_NEAR(run.session.state("b").at(0), 1 - 1.0, 1e-5);
}

TEST(Step, RunningStatisticsFollowTheBatch) {
  StepOptions o;
  o.input = {8, 2, 6, 6};
  Running run(build_training_step(testing::small_cnn(4), o));
  const Batch batch = testing::corners(8, 1)->fetch(std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7});
  EXPECT_EQ(run.session.state("bn1.var").at(0), 1);
  run(batch.inputs, batch.targets, 0.1f);
  EXPECT_NE(run.session.state("bn1.mean").at(0), 0);
  EXPECT_NE(run.session.state("bn2.var").at(3), 1);
}

TEST(Step, DropoutDrawsAnewEachStepAndIsOffInInference) {
  Graph g;
  g.name = "dropping";
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(200)}));
  const ValueId y = b.op("Dropout", {x}, {}, "drop").at(0);
  Tensor ones(DType::f32, {200, 1});
  for (int i = 0; i < 200; ++i) ones.mutable_data<float>()[i] = 1;
  g.add_output(b.one("MatMul", {y, g.add_constant("w", ones, Role::kParameter)}));
  StepOptions o = squared(kPlainSgd);
  o.input = {1, 200};
  o.seed = 11;
  Running run(build_training_step(g, o));
  const Tensor input = ones.reshaped({1, 200}), zero(DType::f32, {1, 1});
  // About half of 200 ones remain, doubled.
  const double first = std::sqrt(run(input, zero, 0, 1)),
               second = std::sqrt(run(input, zero, 0, 2));
  EXPECT_NEAR(first, 200, 60);
  EXPECT_NEAR(second, 200, 60);
  EXPECT_NE(first, second);
  EXPECT_EQ(Model(g).run({input}).at(0).at(0), 200);
}

TEST(Step, NoiseIsDrawnAnewEachStepAndFixedInInference) {
  Graph g;
  g.name = "noisy";
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(4)}));
  const ValueId noise = b.one("RandomNormalLike", {x}, {{"seed", 3.0f}});
  const ValueId w =
      g.add_constant("w", Tensor::from<float>({4, 1}, {1, 1, 1, 1}), Role::kParameter);
  g.add_output(b.matmul(b.add(x, noise), w));
  StepOptions o = squared(kPlainSgd);
  o.input = {1, 4};
  Running run(build_training_step(g, o));
  const Tensor input(DType::f32, {1, 4}), zero(DType::f32, {1, 1});
  EXPECT_NE(run(input, zero, 0, 1), run(input, zero, 0, 2));
  Model model(g);
  EXPECT_EQ(model.run({input}).at(0).at(0), model.run({input}).at(0).at(0));
}

TEST(Step, ExtensionsAddStatesInputsAndOutputs) {
  StepExtension e;
  e.on_gradients = [](StepGraph& s) {
    Builder b(s.graph);
    StepParameter& w = s.parameter("w");
    const ValueId sum = s.add_state("sum", Tensor::from<float>({1, 1}, {0}));
    s.set_next(sum, b.add(sum, w.gradient));
    s.add_output("saliency", b.mul(w.gradient, w.value));
  };
  e.on_updates = [](StepGraph& s) {
    Builder b(s.graph);
    StepParameter& w = s.parameter("w");
    const ValueId mask = s.add_input("mask", Tensor::from<float>({1, 1}, {0}));
    w.updated = b.mul(w.updated, mask);
  };
  Running run(build_training_step(line(), squared(kPlainSgd), std::span(&e, 1)));
  run(kX, kY, 0.1f);
  EXPECT_EQ(run.session.state("w").at(0), 0);
  EXPECT_NEAR(run.session.state("sum").at(0), 24, 1e-5);
}

/// Largest difference of two tensors, relative to the largest element.
double difference(const Tensor& a, const Tensor& b) {
  double worst = 0, top = 1e-12;
  for (int64_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, std::abs(a.at(i) - b.at(i)));
    top = std::max(top, std::abs(a.at(i)));
  }
  return worst / top;
}

TEST(Step, Bfloat16StaysCloseAndKeepsMastersInFloat) {
  StepOptions o;
  o.input = {16, 2, 6, 6};
  StepOptions narrow = o;
  narrow.precision = DType::bf16;
  Running full(build_training_step(testing::small_cnn(4), o));
  Running half(build_training_step(testing::small_cnn(4), narrow));
  EXPECT_EQ(violation(half.step.graph), "");
  const auto data = testing::corners(16, 1);
  std::vector<int64_t> all(16);
  for (int i = 0; i < 16; ++i) all[size_t(i)] = i;
  const Batch batch = data->fetch(all);
  EXPECT_NEAR(half(batch.inputs, batch.targets, 0.1f), full(batch.inputs, batch.targets, 0.1f),
              0.02);
  for (const auto& [name, first] : full.step.initial) {
    const Tensor a = full.session.state(name), b = half.session.state(name);
    EXPECT_EQ(b.dtype(), DType::f32) << name;
    EXPECT_LT(difference(a, b), 0.06) << name;
  }
  int narrow_contractions = 0;
  for (NodeId id : half.step.graph.order()) {
    const Node& n = half.step.graph.node(id);
    if (n.name.starts_with("conv") || n.name == "fc")
      narrow_contractions +=
          half.step.graph.value(n.outputs[0]).tensor().dtype == DType::bf16 ? 1 : 0;
  }
  EXPECT_EQ(narrow_contractions, 3);
}

TEST(Step, Bfloat16HoldsConstantsAsItReadsThem) {
  StepOptions o;
  o.input = {16, 2, 6, 6};
  o.precision = DType::bf16;
  o.trained = {{"fc.weight"}};  // the others are constants
  const StepGraph step = build_training_step(testing::small_cnn(4), o);
  int narrow = 0;
  for (NodeId id : step.graph.order()) {
    const Node& n = step.graph.node(id);
    if (n.room->full_name() == "Cast") EXPECT_FALSE(step.graph.is_constant(n.inputs[0]));
    for (ValueId v : n.inputs)
      narrow += v != kNoValue && step.graph.is_constant(v) &&
                step.graph.value(v).tensor().dtype == DType::bf16;
  }
  EXPECT_GT(narrow, 0);
}

std::string error_of(const Graph& g, const StepOptions& o) {
  try {
    build_training_step(g, o);
  } catch (const UserError& e) {
    return e.what();
  }
  return "nothing was thrown";
}

TEST(Step, MisfitsAreNamed) {
  StepOptions o;
  o.input = {8, 3};
  EXPECT_THAT(error_of(testing::mlp(2, 4, 3), o),
              HasSubstr("input 'x': the data gives f32[8,3], the network takes f32[N,2]"));
  o.input = {8, 2};
  Graph frozen = testing::mlp(2, 4, 3);
  for (ValueId v : frozen.constants()) frozen.mutable_value(v).role = Role::kNone;
  EXPECT_THAT(error_of(frozen, o), HasSubstr("mlp: has no parameters to train"));
  o.output = "fc9";
  EXPECT_THAT(error_of(testing::mlp(2, 4, 3), o), HasSubstr("mlp: has no value 'fc9'"));
}

}  // namespace
}  // namespace espalier

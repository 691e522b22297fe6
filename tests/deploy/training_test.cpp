// Training steps as C: what a step in C leaves behind, gradient by gradient and state by state, is
// what the compiled step of this machine leaves behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "base/rng.h"
#include "deploy/c_training.h"
#include "deploy/compiled_c.h"
#include "ir/interpret.h"
#include "tests/deploy/run_c.h"
#include "tests/support/networks.h"
#include "train/step_session.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// Every kind of pool, a padded and a strided convolution, one with groups, and Gemm.
Graph pools() {
  testing::NetworkWriter w("pools");
  const auto list = [](std::vector<int64_t> v) { return v; };
  ValueId x =
      w.graph.add_input("x", TensorType(DType::f32, {Dim::symbol("N"), Dim(2), Dim(9), Dim(9)}));
  x = w.relu(w.conv(x, 6, 3, "first"));
  x = w.b.one("MaxPool", {x}, {{"kernel_shape", list({2, 2})}, {"strides", list({2, 2})}});
  x = w.relu(w.conv(x, 6, 3, "second", 1, 2));
  x = w.b.one("AveragePool", {x}, {{"kernel_shape", list({2, 2})}, {"pads", list({0, 1, 0, 1})}});
  x = w.b.one("Flatten", {x});
  return w.finish(w.linear(x, 4, "fc"));
}

/// Data of a batch: numbers and labels.
struct Feed {
  Batch batch;
  explicit Feed(const StepOptions& o, int64_t classes, uint64_t seed) {
    const Rng rng(seed, 1);
    Tensor x(DType::f32, o.input), labels(DType::i64, {o.input[0]});
    for (int64_t i = 0; i < x.size(); ++i)
      x.mutable_data<float>()[i] = float(rng.uniform(uint64_t(i), -1, 1));
    for (int64_t i = 0; i < labels.size(); ++i)
      labels.mutable_data<int64_t>()[i] = int64_t(rng.bits(uint64_t(1000 + i)) % uint64_t(classes));
    batch.inputs = x;
    batch.targets = labels;
  }
};

struct Network {
  const char* name;
  Graph (*make)();
  Shape sample;
  int64_t classes;
};
const Network kNetworks[] = {{"mlp", testing::mlp, {12}, 5},
                             {"residual", testing::residual, {3, 8, 8}, 5},
                             {"depthwise", testing::depthwise, {3, 8, 8}, 5},
                             {"concat", testing::concat, {3, 8, 8}, 5},
                             {"pools", pools, {2, 9, 9}, 4}};

StepOptions options_for(const Network& n, const Optimizer& optimizer, int64_t batch = 3) {
  StepOptions o;
  o.input = {batch};
  o.input.insert(o.input.end(), n.sample.begin(), n.sample.end());
  o.optimizer = optimizer;
  return o;
}

/// Differences are measured against the largest element of a state: single ones may cancel.
double relative_difference(const Tensor& got, const Tensor& want) {
  double largest = 2e-3;  // what is smaller in all may be nothing but what did not cancel
  for (int64_t i = 0; i < want.size(); ++i) largest = std::max(largest, std::abs(want.at(i)));
  return testing::largest_difference(got, want) / largest;
}

/// Runs `steps` steps both ways and compares loss and all states after each, then inference.
void compare(const Graph& network, const StepOptions& o, int64_t classes, int steps,
             double within) {
  CFile file("net");
  const CTraining t = add_training(file, network, build_training_step(network, o));
  const CompiledC c(file, {"-O2"});
  c.init();
  StepSession host(build_training_step(network, o));
  for (const CState& s : file.states())
    if (host.graph().initial.contains(s.name)) {
      EXPECT_EQ(testing::largest_difference(c.state(s.name), host.state(s.name)), 0) << s.name;
    }
  for (int step = 1; step <= steps; ++step) {
    const Feed feed(o, classes, uint64_t(step));
    host.run(feed.batch, 0.05, step);
    const Tensor loss = c.run(
        0, std::vector<Tensor>{feed.batch.inputs, feed.batch.targets, Tensor::scalar(0.05f)})[0];
    EXPECT_NEAR(loss.at(0), host.scalar(host.graph().loss), within) << "step " << step;
    for (const std::string& name : host.state_names())
      EXPECT_LE(relative_difference(c.state(name), host.state(name)), within)
          << name << " after step " << step;
  }
  std::map<std::string, Tensor> learnt;
  for (const std::string& name : host.state_names()) learnt[name] = host.state(name);
  Shape one = o.input;
  one[0] = 1;
  const Graph run = specialised(with_values(network, learnt), std::vector<Shape>{one});
  const std::vector<Tensor> in = {testing::random_tensor(one, "one")};
  EXPECT_LE(relative_difference(c.run(1, in)[0], interpret(run, in)[0]), 10 * within);
}

class Training : public ::testing::TestWithParam<Network> {};
INSTANTIATE_TEST_SUITE_P(Networks, Training, ::testing::ValuesIn(kNetworks),
                         [](const auto& info) { return info.param.name; });

// The first velocity is the gradient.
TEST_P(Training, EveryGradientAndUpdateIsTheHosts) {
  const Network& n = GetParam();
  compare(n.make(), options_for(n, {"sgd", {{"nesterov", 0}}, 1e-3}), n.classes, 1, 2e-5);
}

TEST_P(Training, AdamWClippedAndSmoothedOverSteps) {
  const Network& n = GetParam();
  StepOptions o = options_for(n, {"adamw", {{"epsilon", 1e-3}}, 1e-2});
  o.clip_norm = 0.5;
  o.label_smoothing = 0.1;
  compare(n.make(), o, n.classes, 3, 1e-3);
}

TEST_P(Training, MemoryIsWhatTheExporterSays) {
  const Network& n = GetParam();
  const StepOptions o = options_for(n, {"sgd", {}, 0}, 2);
  CFile file("net");
  const CTraining t = add_training(file, n.make(), build_training_step(n.make(), o));
  const CompiledC c(file, {"-O2"});
  c.init();
  const Feed feed(o, n.classes, 1);
  const size_t states = file.state_bytes();
  EXPECT_EQ(c.touched_bytes(0, std::vector<Tensor>{feed.batch.inputs, feed.batch.targets,
                                                   Tensor::scalar(0.05f)}),
            states + t.step.arena_bytes);
  Shape one = o.input;
  one[0] = 1;
  EXPECT_EQ(c.touched_bytes(1, std::vector<Tensor>{testing::random_tensor(one, "one")}),
            states + t.run.arena_bytes);
  EXPECT_EQ(file.arena_bytes(), states + std::max(t.step.arena_bytes, t.run.arena_bytes));
  for (const char* word : {"malloc", "calloc", "realloc", "free(", "printf"})
    EXPECT_THAT(file.source(), Not(HasSubstr(word)));
}

TEST(TrainingInC, SquaredErrorAndPlainSgd) {
  StepOptions o;
  o.input = {4, 12};
  o.loss = Loss::kMeanSquared;
  o.optimizer = {"sgd", {{"momentum", 0}}, 0};
  CFile file("net");
  const CTraining t = add_training(file, testing::mlp(), build_training_step(testing::mlp(), o));
  EXPECT_EQ(t.optimizer_bytes, 0);
  EXPECT_EQ(t.step.inputs[1].name, "targets");
  const CompiledC c(file);
  c.init();
  StepSession host(build_training_step(testing::mlp(), o));
  const Tensor x = testing::random_tensor({4, 12}, "x"), y = testing::random_tensor({4, 5}, "y");
  host.run({x, y}, 0.1, 1);
  c.run(0, std::vector<Tensor>{x, y, Tensor::scalar(0.1f)});
  for (const std::string& name : host.state_names())
    EXPECT_LE(relative_difference(c.state(name), host.state(name)), 1e-5) << name;
}

TEST(TrainingInC, WhatIsFrozenIsConstantAndCostsNoMemory) {
  const Graph network = testing::residual();
  StepOptions o;
  o.input = {1, 3, 8, 8};
  o.optimizer = {"sgd", {{"momentum", 0}}, 0};
  CFile all("all"), part("part");
  const CTraining everything = add_training(all, network, build_training_step(network, o));
  o.trained = std::set<std::string>{};
  for (ValueId v : network.constants())
    if (network.value(v).role == Role::kParameter && network.value(v).name.starts_with("fc"))
      o.trained->insert(network.value(v).name);
  const CTraining some = add_training(part, network, build_training_step(network, o));
  EXPECT_LT(some.trained, everything.trained / 2);
  EXPECT_LT(part.state_bytes(), all.state_bytes() / 2);
  EXPECT_LT(some.step.arena_bytes, everything.step.arena_bytes / 2);
  // Each state is trained; everything else stands in the constant arrays.
  EXPECT_EQ(part.states().size(), o.trained->size());
  compare(network, o, 5, 2, 2e-5);
}

TEST(TrainingInC, CompilesWithoutWarnings) {
  const StepOptions o = options_for(kNetworks[1], {"adamw", {}, 1e-2});
  CFile file("net");
  add_training(file, testing::residual(), build_training_step(testing::residual(), o));
  const Feed feed(o, 5, 1);
  const auto got =
      testing::run_in_c(file, "net",
                        {{feed.batch.inputs, feed.batch.targets, Tensor::scalar(0.01f)},
                         {testing::random_tensor({1, 3, 8, 8}, "one")}},
                        "-O2");
  ASSERT_EQ(got[0].size(), 1u);
  StepSession host(build_training_step(testing::residual(), o));
  host.run(feed.batch, 0.01, 1);
  EXPECT_NEAR(got[0][0].at(0), host.scalar(host.graph().loss), 1e-4);
}

TEST(TrainingInC, ALabelThatIsNoClassTeachesNothing) {
  const StepOptions o = options_for(kNetworks[0], {"adamw", {}, 1e-2});
  CFile file("net");
  add_training(file, testing::mlp(), build_training_step(testing::mlp(), o));
  const CompiledC c(file);
  c.init();
  Feed feed(o, 5, 1);
  feed.batch.targets.mutable_data<int64_t>()[1] = 5;
  std::vector<Tensor> loss = {Tensor(DType::f32, {})};
  const std::vector<Tensor> in = {feed.batch.inputs, feed.batch.targets, Tensor::scalar(0.05f)};
  EXPECT_EQ(c.run_into(0, in, loss), 1);
  for (const CState& s : file.states())
    if (s.type.dtype == DType::f32) {
      const Tensor now = c.state(s.name);
      c.init();
      EXPECT_EQ(testing::largest_difference(now, c.state(s.name)), 0) << s.name;
    }
}

TEST(TrainingInC, StatesComeBackByTheirBytes) {
  const StepOptions o = options_for(kNetworks[0], {"sgd", {}, 0});
  CFile file("net");
  add_training(file, testing::mlp(), build_training_step(testing::mlp(), o));
  const CompiledC c(file);
  c.init();
  const Feed feed(o, 5, 1);
  const std::vector<Tensor> in = {feed.batch.inputs, feed.batch.targets, Tensor::scalar(0.05f)};
  c.run(0, in);
  std::map<std::string, Tensor> saved;
  for (const CState& s : file.states()) saved[s.name] = c.state(s.name);
  const double second = c.run(0, in)[0].at(0);
  c.init();
  for (const auto& [name, value] : saved) c.set_state(name, value);
  EXPECT_EQ(c.run(0, in)[0].at(0), second);
}

TEST(TrainingInC, RefusesByTheNode) {
  Graph g;
  Builder b(g);
  const ValueId x =
      g.add_input("x", TensorType(DType::f32, {Dim::symbol("N"), Dim(2), Dim(4), Dim(4)}));
  const ValueId w =
      g.add_constant("w", testing::random_tensor({3, 2, 3, 3}, "w"), Role::kParameter);
  const ValueId y = b.op("Conv", {x, w}, {}, "conv")[0];
  const ValueId grown =
      b.op("Resize", {y, kNoValue, b.constant(Tensor::from<float>({4}, {1, 1, 2, 2}))},
           {{"mode", std::string("nearest")}}, "grow")[0];
  g.add_output(b.one("Flatten", {grown}));
  StepOptions o;
  o.input = {1, 2, 4, 4};
  CFile file("net");
  try {
    add_training(file, g, build_training_step(g, o));
    FAIL();
  } catch (const UserError& e) {
    EXPECT_EQ(e.code(), ExitCode::kUnsupported);
    EXPECT_THAT(e.what(), HasSubstr("ResizeGrad"));
    EXPECT_THAT(e.what(), HasSubstr("has no C form"));
  }
}

}  // namespace
}  // namespace espalier

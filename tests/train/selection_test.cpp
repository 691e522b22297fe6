#include "train/selection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/run_op.h"
#include "tests/train/networks.h"
#include "train/step.h"
#include "train/step_session.h"
#include "train/trainer.h"

namespace espalier {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::user_error;

const Filter kBiases{.biases = true};

TEST(Selection, FindsBiasesByWhatTheyDo) {
  EXPECT_THAT(selected_parameters(testing::mlp(2, 4, 3), {kBiases}),
              ElementsAre("fc1.bias", "fc2.bias"));
  EXPECT_THAT(selected_parameters(testing::small_cnn(4), {kBiases}),
              ElementsAre("bn1.bias", "bn2.bias", "fc.bias"));
  EXPECT_THAT(selected_parameters(testing::small_gpt(11, 6, 8), {kBiases}),
              ElementsAre("attn.proj.bias", "attn.qkv.bias", "fc1.bias", "fc2.bias", "norm.bias",
                          "norm1.bias", "norm2.bias"));
}

TEST(Selection, FindsNormalisationsByWhatTheyDo) {
  const Filter norms{.norms = true};
  EXPECT_THAT(selected_parameters(testing::small_cnn(4), {norms}),
              ElementsAre("bn1.bias", "bn1.weight", "bn2.bias", "bn2.weight"));
  EXPECT_THAT(selected_parameters(testing::small_gpt(11, 6, 8), {norms}),
              ElementsAre("norm.bias", "norm.weight", "norm1.bias", "norm1.weight", "norm2.bias",
                          "norm2.weight"));
  Graph net;
  Builder b(net);
  const auto vector = [&](const char* name, float value) {
    return net.add_constant(name, Tensor::from<float>({4}, {value, value, value, value}),
                            Role::kParameter);
  };
  ValueId x = net.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(4), Dim(3)}));
  x = b.one("GroupNormalization", {x, vector("group.scale", 1), vector("group.shift", 0)},
            {{"num_groups", int64_t{2}}});
  x = b.one("InstanceNormalization", {x, vector("own.scale", 1), vector("own.shift", 0)});
  net.add_output(b.mul(x, b.reshape(vector("factor", 2), {4, 1})));
  EXPECT_THAT(selected_parameters(net, {norms}),
              ElementsAre("group.scale", "group.shift", "own.scale", "own.shift"));
}

TEST(Selection, CountsLayersFromTheEnd) {
  const Graph gpt = testing::small_gpt(11, 6, 8);
  EXPECT_THAT(selected_parameters(gpt, {{.last_layers = 1}}), ElementsAre("head.weight"));
  EXPECT_THAT(selected_parameters(gpt, {{.last_layers = 2}}),
              ElementsAre("fc2.bias", "fc2.weight", "head.weight", "norm.bias", "norm.weight"));
  EXPECT_THAT(selected_parameters(testing::mlp(2, 4, 3), {{.last_layers = 1}}),
              ElementsAre("fc2.bias", "fc2.weight"));
}

TEST(Selection, ConditionsHoldTogetherAndEntriesAddUp) {
  const Graph net = testing::mlp(2, 4, 3);
  EXPECT_THAT(selected_parameters(net, {{.names = {"fc*"}, .except = {"*.weight"}}}),
              ElementsAre("fc1.bias", "fc2.bias"));
  EXPECT_THAT(selected_parameters(net, {{.biases = true, .last_layers = 1}}),
              ElementsAre("fc2.bias"));
  EXPECT_THAT(selected_parameters(net, {{.names = {"fc1.weight"}}, {.last_layers = 1}}),
              ElementsAre("fc1.weight", "fc2.bias", "fc2.weight"));
  EXPECT_EQ(selected_parameters(net, {}).size(), 4u);
}

TEST(Selection, WhatSelectsNothingIsOneErrorWithNamesThatAreNear) {
  const Graph net = testing::mlp(2, 4, 3);
  const auto error = [&](const Selection& s) {
    try {
      selected_parameters(net, s);
    } catch (const UserError& e) {
      return std::string(e.what()) + " | " + e.hint();
    }
    return std::string("nothing was thrown");
  };
  EXPECT_THAT(error({{.names = {"fc1.*", "fc9.*"}}}),
              ::testing::AllOf(HasSubstr("'fc9.*': is the name of no parameter"),
                               HasSubstr("the nearest are fc1.weight")));
  EXPECT_THAT(error({{.except = {"conv*"}}}), HasSubstr("'conv*'"));
  EXPECT_THAT(error({{.names = {"*.weight"}, .biases = true}}), HasSubstr("no parameter meets"));
  EXPECT_THAT(error({{.last_layers = 3}}), HasSubstr("mlp has 2"));
}

/// Gradients of one step by name, on a fixed batch.
std::map<std::string, Tensor> gradients(const Graph& net, const Shape& input, DType type,
                                        const std::optional<std::set<std::string>>& trained,
                                        const Batch& batch, StepMemory* memory = nullptr) {
  StepOptions o;
  o.input = input;
  o.input_type = type;
  o.optimizer = {"sgd", {{"momentum", 0}, {"nesterov", 0}}, 0};
  o.trained = trained;
  std::vector<std::string> names;
  const StepExtension watch = {[&](StepGraph& s) {
                                 for (const StepParameter& p : s.parameters) {
                                   names.push_back(p.name);
                                   s.add_output("gradient of " + p.name, p.gradient);
                                 }
                               },
                               {}};
  StepSession session(build_training_step(net, o, {&watch, 1}));
  session.run(batch, 0.1, 1);
  if (memory) *memory = session.memory();
  std::map<std::string, Tensor> all;
  for (const std::string& n : names) all[n] = session.output("gradient of " + n);
  return all;
}

void expect_gradients_of_full_training(const Graph& net, const Shape& input, DType type,
                                       const Batch& batch, const Selection& selection) {
  const auto full = gradients(net, input, type, std::nullopt, batch);
  const auto chosen = selected_parameters(net, selection);
  const auto sparse = gradients(net, input, type, chosen, batch);
  ASSERT_EQ(sparse.size(), chosen.size());
  for (const auto& [name, g] : sparse) {
    const Tensor& of_full = full.at(name);
    ASSERT_EQ(g.shape(), of_full.shape()) << name;
    double largest = 0;
    for (int64_t i = 0; i < g.size(); ++i) largest = std::max(largest, std::abs(of_full.at(i)));
    EXPECT_GT(largest, 0) << name;
    for (int64_t i = 0; i < g.size(); ++i)
      ASSERT_NEAR(g.at(i), of_full.at(i), 1e-5 * largest + 1e-7) << name << " " << i;
  }
}

Batch tokens(int64_t rows, int64_t vocabulary, int64_t context) {
  std::vector<int64_t> indices(static_cast<size_t>(rows));
  for (int64_t i = 0; i < rows; ++i) indices[size_t(i)] = 3 * i;
  return testing::CycleText(4 * rows, vocabulary, context, 3).fetch(indices);
}

TEST(SparseStep, GradientsAreThoseOfFullTraining) {
  const Batch points = testing::blobs(8, 3, 1)->fetch(std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7});
  for (const Selection& s :
       {Selection{kBiases}, Selection{{.last_layers = 1}}, Selection{{.names = {"fc1.weight"}}}})
    expect_gradients_of_full_training(testing::mlp(2, 16, 3), {8, 2}, DType::f32, points, s);
  const Batch text = tokens(4, 11, 6);
  for (const Selection& s : {Selection{kBiases}, Selection{{.last_layers = 2}},
                             Selection{{.names = {"attn.*"}}, {.biases = true}}})
    expect_gradients_of_full_training(testing::small_gpt(11, 6, 8), {4, 6}, DType::i64, text, s);
}

TEST(SparseStep, PlannedPeakShrinksWithWhatIsTrained) {
  const Graph net = testing::small_gpt(64, 32, 64);
  const Batch text = tokens(8, 64, 32);
  const auto planned = [&](const std::optional<std::set<std::string>>& trained) {
    StepMemory m;
    gradients(net, {8, 32}, DType::i64, trained, text, &m);
    return m;
  };
  const StepMemory full = planned(std::nullopt);
  const StepMemory biases = planned(selected_parameters(net, {kBiases}));
  const StepMemory last = planned(selected_parameters(net, {{.last_layers = 1}}));
  EXPECT_LT(biases.arena, full.arena);
  EXPECT_LT(2 * last.arena, full.arena);
  EXPECT_LT(biases.states, full.states / 10);
}

/// Nodes of a step that are neither forward nor for what is trained would show here.
TEST(SparseStep, DeadGradientsAreNotComputed) {
  StepOptions o;
  o.input = {8, 2};
  const Graph net = testing::mlp(2, 16, 3);
  const size_t full = build_training_step(net, o).graph.order().size();
  o.trained = {"fc2.bias"};
  const StepGraph sparse = build_training_step(net, o);
  EXPECT_LT(sparse.graph.order().size() + 6, full);
  EXPECT_EQ(sparse.parameters.size(), 1u);
  EXPECT_EQ(sparse.optimizer_bytes, int64_t(3 * sizeof(float)));
}

TEST(SparseStep, FrozenParametersAndStatisticsDoNotChangeByABit) {
  const Graph net = testing::small_cnn(4);
  TrainOptions o;
  o.epochs = 2;
  o.batch = 16;
  o.schedule.peak = 0.05;
  o.trained = selected_parameters(net, {{.names = {"fc.*", "bn2.*"}}});
  const auto data = testing::corners(64, 1);
  Trainer trainer(net, data, data, o);
  trainer.train();
  const Graph after = trainer.network();
  for (ValueId v : net.constants()) {
    const Value& value = net.value(v);
    const Tensor& now = *after.value(after.find(value.name)).constant;
    // All of bn2 is trained, so its statistics follow; bn1's stay.
    const bool moves = value.name.starts_with("fc.") || value.name.starts_with("bn2.");
    EXPECT_EQ(now.identical(*value.constant), !moves) << value.name;
  }
}

}  // namespace
}  // namespace espalier

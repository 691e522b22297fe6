// Training networks in 8-bit integers: the step in C beside this machine's, what scaling does, and
// what it costs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>

#include "base/error.h"
#include "compress/quantize.h"
#include "deploy/c_training.h"
#include "deploy/compiled_c.h"
#include "onnx/export.h"
#include "onnx/import.h"
#include "reproduce/device_training.h"
#include "tests/support/networks.h"
#include "train/integer_training.h"
#include "train/step_session.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Graph in_floats(const Graph& network) { return prepared_for_quantization(network); }

Graph in_integers(const Graph& network) {
  const Graph prepared = in_floats(network);
  Calibrator calibrator(prepared, RangeMethod::kMinMax);
  for (int i = 0; i < 4; ++i) calibrator.observe(testing::random_inputs(prepared, 8, uint64_t(i)));
  return quantize(prepared, calibrator.ranges());
}

StepOptions options(Shape input) {
  StepOptions o;
  o.input = std::move(input);
  o.optimizer = {"sgd", {{"momentum", 0}}, 0};
  return o;
}

Batch batch_of(const StepOptions& o, uint64_t seed, int64_t classes = 5) {
  Batch b;
  b.inputs = testing::random_tensor(o.input, "x" + std::to_string(seed));
  b.targets = Tensor(DType::i64, {o.input[0]});
  for (int64_t i = 0; i < o.input[0]; ++i)
    b.targets.mutable_data<int64_t>()[i] = (i * 3 + int64_t(seed)) % classes;
  return b;
}

/// A stored parameter in units of its integers.
double units(const Tensor& q, const Tensor& rest, int64_t i) {
  return double(q.int_at(i)) + double(rest.int_at(i)) / 256;
}

struct Learner {
  IntegerTraining made;
  CFile file{"net"};
  CTraining training;
  CompiledC c;

  Learner(const Graph& quantised, const StepOptions& o, bool scaling = true)
      : made(build_integer_step(quantised, o, scaling)),
        training(add_training(file, made.network, made.step)),
        c(file, {"-O2"}) {
    c.init();
  }
  double step(const Batch& b, float rate) const {
    return c.run(0, std::vector<Tensor>{b.inputs, b.targets, Tensor::scalar(rate)})[0].at(0);
  }
};

struct Network {
  const char* name;
  Graph (*make)();
  Shape sample;
};
const Network kNetworks[] = {{"mlp", testing::mlp, {12}},
                             {"residual", testing::residual, {3, 8, 8}},
                             {"depthwise", testing::depthwise, {3, 8, 8}},
                             {"concat", testing::concat, {3, 8, 8}}};

class IntegerTrainingInC : public ::testing::TestWithParam<Network> {
 protected:
  StepOptions step_options() const {
    Shape input = {4};
    input.insert(input.end(), GetParam().sample.begin(), GetParam().sample.end());
    return options(input);
  }
};
INSTANTIATE_TEST_SUITE_P(Networks, IntegerTrainingInC, ::testing::ValuesIn(kNetworks),
                         [](const auto& info) { return info.param.name; });

// A sum that lies halfway may be rounded to the other side, so single elements differ by a little.
TEST_P(IntegerTrainingInC, MovesParametersAsTheHostDoes) {
  const Graph q = in_integers(GetParam().make());
  const StepOptions o = step_options();
  const Learner c(q, o);
  StepSession host(build_integer_step(q, o).step);
  const Batch b = batch_of(o, 1);
  host.run(b, 0.05, 1);
  EXPECT_NEAR(c.step(b, 0.05f), host.scalar(host.graph().loss), 2e-2);
  for (const StepParameter& p : host.graph().parameters) {
    const Tensor first = c.made.step.initial.at(p.name);
    double difference = 0, moved = 0;
    for (int64_t i = 0; i < first.size(); ++i) {
      double got = c.c.state(p.name).at(i), want = host.state(p.name).at(i), from = first.at(i);
      if (first.dtype() == DType::i8) {
        got = units(c.c.state(p.name), c.c.state(p.name + ":rest"), i);
        want = units(host.state(p.name), host.state(p.name + ":rest"), i);
      }
      difference += std::pow(got - want, 2);
      moved += std::pow(want - from, 2);
    }
    EXPECT_LE(std::sqrt(difference), 0.1 * std::sqrt(moved) + 1e-3) << p.name;
  }
}

// With scaling, what a weight really is moves as the gradient of the float network says.
TEST_P(IntegerTrainingInC, FollowsTheGradientOfTheFloatNetwork) {
  const Graph network = GetParam().make(), q = in_integers(network), floats = in_floats(network);
  const StepOptions o = step_options();
  const Learner c(q, o);
  StepSession host(build_training_step(floats, o));
  const Batch b = batch_of(o, 2);
  host.run(b, 1, 1);
  c.step(b, 0.02f);
  for (const StepParameter& p : c.made.step.parameters) {
    const Tensor first = c.made.step.initial.at(p.name);
    if (first.dtype() != DType::i8) continue;
    const std::string of_float = p.name.substr(0, p.name.find("_quantized"));
    const Tensor before = *floats.value(floats.find(of_float)).constant;
    const Tensor after = host.state(of_float);
    const Tensor now = c.c.state(p.name), rest = c.c.state(p.name + ":rest");
    const Tensor scales = *q.value(q.find(of_float + "_scale")).constant;
    const int64_t n = scales.size();
    const bool rows = first.shape()[0] == n;
    const int64_t behind = rows ? first.size() / n : 1;
    double both = 0, ours = 0, theirs = 0;
    for (int64_t i = 0; i < first.size(); ++i) {
      const double a =
          (units(now, rest, i) - double(first.int_at(i))) * scales.at(i / behind % n) / 0.02;
      const double g = after.at(i) - before.at(i);
      both += a * g;
      ours += a * a;
      theirs += g * g;
    }
    EXPECT_GT(both, 0.9 * std::sqrt(ours * theirs)) << p.name;
    EXPECT_NEAR(std::sqrt(ours / theirs), 1, 0.25) << p.name;
  }
}

TEST_P(IntegerTrainingInC, StaysOnIntegersInLessMemory) {
  const Graph network = GetParam().make();
  const StepOptions o = step_options();
  const Learner c(in_integers(network), o);
  CFile floats("net");
  add_training(floats, in_floats(network), build_training_step(in_floats(network), o));
  EXPECT_LT(c.file.arena_bytes(), floats.arena_bytes());
  EXPECT_THAT(c.file.source(), HasSubstr("_int8("));
  EXPECT_THAT(c.file.source(), Not(HasSubstr("esp_conv_f32(&")));
  const Batch b = batch_of(o, 1);
  EXPECT_EQ(c.c.touched_bytes(0, std::vector<Tensor>{b.inputs, b.targets, Tensor::scalar(0.01f)}),
            c.file.state_bytes() + c.training.step.arena_bytes);
}

TEST(IntegerTraining, ScalingIsWhatMakesItLearn) {
  const Graph q = in_integers(testing::residual());
  const StepOptions o = options({8, 3, 8, 8});
  const Batch b = batch_of(o, 3);
  const auto learnt = [&](bool scaling) {
    const Learner c(q, o, scaling);
    const double first = c.step(b, 0.05f);
    double last = first;
    for (int i = 0; i < 40; ++i) last = c.step(b, 0.05f);
    return last / first;
  };
  // The last bias is no integer and learns either way.
  EXPECT_LT(learnt(true), 0.5);
  EXPECT_GT(learnt(false), 0.75);
}

TEST(IntegerTraining, WhatIsFrozenIsNoState) {
  const Graph q = in_integers(testing::residual());
  const std::vector<IntegerLayer> layers = integer_layers(q);
  ASSERT_GE(layers.size(), 5u);
  EXPECT_THAT(layers.back().name, HasSubstr("fc"));
  EXPECT_EQ(layers.back().parameters.size(), 2u);
  StepOptions o = options({2, 3, 8, 8});
  o.trained = layers.back().parameters;
  const Learner c(q, o);
  EXPECT_EQ(c.training.trained, layers.back().elements);
  EXPECT_EQ(c.file.states().size(), 3u);  // a weight, its rest, a bias
}

TEST(IntegerTraining, FilesKeepWhatCanBeTrained) {
  const Graph q = in_integers(testing::residual());
  const std::string path = ::testing::TempDir() + "espalier_integers.onnx";
  export_onnx(q, path);
  const Graph read = import_onnx(path);
  std::filesystem::remove(path);
  EXPECT_TRUE(stores_integers(read));
  ASSERT_EQ(integer_layers(read).size(), integer_layers(q).size());
  EXPECT_EQ(integer_layers(read)[1].elements, integer_layers(q)[1].elements);
  // Training in floats still leaves it alone.
  const StepOptions o = options({2, 3, 8, 8});
  StepOptions head = o;
  head.trained = integer_layers(q).back().parameters;
  for (const StepParameter& p : build_training_step(read, head).parameters)
    EXPECT_EQ(read.value(read.find(p.name)).tensor().dtype, DType::f32) << p.name;
}

TEST(IntegerTraining, LayersAreChosenByContributionWithinTheArena) {
  const Graph q = in_integers(testing::residual());
  const StepOptions o = options({4, 3, 8, 8});
  const std::vector<IntegerLayer> layers = integer_layers(q);
  std::vector<double> gains(layers.size(), 1);
  gains[1] = -1;
  const ChosenLayers all = choose_layers(q, o, layers, gains, size_t{1} << 20);
  EXPECT_EQ(all.layers.size(), layers.size() - 1);
  EXPECT_FALSE(all.parameters.contains(layers[1].name));
  const ChosenLayers some = choose_layers(q, o, layers, gains, all.arena_bytes - 1);
  EXPECT_LT(some.layers.size(), all.layers.size());
  EXPECT_LT(some.arena_bytes, all.arena_bytes);
  EXPECT_TRUE(some.parameters.contains(layers.back().name));
  EXPECT_THROW(choose_layers(q, o, layers, gains, 100), UserError);
}

TEST(IntegerTraining, RefusesWhatMovesNoIntegers) {
  const Graph q = in_integers(testing::mlp());
  StepOptions o = options({2, 12});
  const auto error = [&] {
    try {
      build_integer_step(q, o);
    } catch (const UserError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  o.optimizer = {"adamw", {}, 0};
  EXPECT_THAT(error(), HasSubstr("SGD without momentum"));
  o.optimizer = {"sgd", {{"momentum", 0}}, 0.1};
  EXPECT_THAT(error(), HasSubstr("weight_decay"));
  o.optimizer.weight_decay = 0;
  o.clip_norm = 1;
  EXPECT_THAT(error(), HasSubstr("clip_norm"));
  EXPECT_TRUE(stores_integers(q));
  EXPECT_FALSE(stores_integers(testing::mlp()));
}

}  // namespace
}  // namespace espalier

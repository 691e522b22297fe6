#include "compress/coalesce.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/log.h"
#include "compress/repeated_blocks.h"
#include "ir/interpret.h"
#include "ir/verify.h"
#include "tests/support/error_of.h"
#include "tests/train/networks.h"
#include "train/step_session.h"

namespace espalier {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using Tensors = Coarsening::Tensors;

const bool kQuiet = (set_quiet(true), true);

/// `layers` residual layers of width 8 with a layer normalisation before each, then a result that
/// is read by the vectors of the tokens.
Graph residual_layers(int64_t layers) {
  Graph g;
  g.name = "layers";
  Builder b(g);
  const ValueId tokens =
      g.add_input("tokens", TensorType(DType::i64, Dims{Dim::symbol("N"), Dim(3)}));
  const auto parameter = [&](const std::string& name, const Shape& shape) {
    return testing::parameter(g, name, shape, 0.7);
  };
  const ValueId table = parameter("table", {5, 8});
  ValueId x = b.one("Gather", {table, tokens}, {{"axis", int64_t{0}}});
  for (int64_t i = 0; i < layers; ++i) {
    const std::string name = "layer" + std::to_string(i);
    const ValueId y = b.one("LayerNormalization",
                            {x, parameter(name + ".scale", {8}), parameter(name + ".shift", {8})});
    const ValueId h =
        b.one("Relu", {b.add(b.matmul(y, b.transpose(parameter(name + ".in", {6, 8}), {1, 0})),
                             parameter(name + ".bias", {6}))});
    x = b.add(x, b.matmul(h, parameter(name + ".out", {6, 8})));
  }
  g.add_output(b.matmul(x, b.transpose(table, {1, 0})));
  return g;
}

Tensor tokens() { return Tensor::from<int64_t>({2, 3}, {0, 4, 1, 3, 2, 2}); }

std::vector<Tensor> inputs_of(const Graph& g) {
  const TensorType& type = g.value(g.inputs()[0]).tensor();
  Shape shape = {2};
  for (size_t d = 1; d < type.dims.size(); ++d) shape.push_back(type.dims[d].value());
  if (type.dtype != DType::i64) return {testing::random_tensor(shape, "x", 1)};
  Tensor t(DType::i64, shape);
  for (int64_t i = 0; i < t.size(); ++i) t.mutable_data<int64_t>()[i] = (3 * i + 1) % 5;
  return {t};
}

double largest_difference(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) return 1e30;
  double worst = 0;
  for (int64_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a.at(i) - b.at(i)));
  return worst;
}

struct Named {
  const char* name;
  Graph (*make)();
};
class Widths : public ::testing::TestWithParam<Named> {};
INSTANTIATE_TEST_SUITE_P(Networks, Widths,
                         ::testing::Values(Named{"mlp", [] { return testing::mlp(3, 4, 2); }},
                                           Named{"cnn", [] { return testing::small_cnn(4); }},
                                           Named{"gpt", [] { return testing::small_gpt(5, 6, 8); }},
                                           Named{"tied", [] { return residual_layers(2); }}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(Widths, DeCoalescedComputesWhatTheSmallNetworkDoes) {
  const Graph g = GetParam().make();
  const Coarsening c(g, {.width = 2, .depth = 1});
  EXPECT_FALSE(c.merged_classes().empty());
  EXPECT_EQ(violation(c.small()), "");
  const Graph wide = with_values(g, c.decoalesced(constant_values(c.small())));
  const auto x = inputs_of(g);
  const Tensor small = interpret(c.small(), x)[0], large = interpret(wide, x)[0];
  EXPECT_LE(largest_difference(small, large), 1e-4);
  EXPECT_GT(largest_difference(small, interpret(g, x)[0]), 1e-3);
}

TEST_P(Widths, CoalescingUndoesDeCoalescing) {
  const Graph g = GetParam().make();
  const Coarsening c(g, {.width = 2, .depth = 1});
  const Tensors small = constant_values(c.small());
  for (int degree : {0, 1, 2})
    for (const auto& [name, t] : c.coalesced(c.decoalesced(small, degree), degree))
      EXPECT_TRUE(t.identical(small.at(name))) << name << " to the power " << degree;
}

/// Gradients of the mean squared error of a network with results [N, ...] against zeros.
Tensors gradients(const Graph& g, const std::vector<Tensor>& x) {
  StepOptions o;
  o.input = x[0].shape();
  o.input_type = x[0].dtype();
  o.loss = Loss::kMeanSquared;
  o.optimizer = {"sgd", {{"momentum", 0}, {"nesterov", 0}}, 0};
  StepSession step(build_training_step(g, o));
  const auto before = constant_values(g);
  step.run({x[0], Tensor(DType::f32, interpret(g, x)[0].shape())}, 1, 1);
  Tensors gradients;
  for (const StepParameter& p : step.graph().parameters) {
    Tensor d = before.at(p.name).clone();
    const Tensor after = step.state(p.name);
    for (int64_t i = 0; i < d.size(); ++i) d.mutable_data<float>()[i] -= float(after.at(i));
    gradients[p.name] = d;
  }
  return gradients;
}

// By the chain rule the small network's gradient is that of the large one, coalesced as a gradient;
// and as copies have equal gradients, also the other way.
class WidthGradients : public ::testing::TestWithParam<Named> {};
INSTANTIATE_TEST_SUITE_P(Networks, WidthGradients,
                         ::testing::Values(Named{"mlp", [] { return testing::mlp(3, 4, 2); }},
                                           Named{"gpt", [] { return testing::small_gpt(5, 6, 8); }},
                                           Named{"tied", [] { return residual_layers(2); }}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(WidthGradients, GoAlong) {
  const Graph g = GetParam().make();
  const Coarsening c(g, {.width = 2, .depth = 1});
  const Graph wide = with_values(g, c.decoalesced(constant_values(c.small())));
  const auto x = inputs_of(g);
  const Tensors small = gradients(c.small(), x), large = gradients(wide, x);
  for (const auto& [name, t] : c.coalesced(large, 1))
    EXPECT_LE(largest_difference(t, small.at(name)), 1e-3) << name;
  for (const auto& [name, t] : c.decoalesced(small, 1))
    EXPECT_LE(largest_difference(t, large.at(name)), 1e-3) << name;
}

TEST(Coalesce, RowsAreMeansAndWhatReadsThemSums) {
  const Graph g = testing::mlp(3, 4, 2);
  const Coarsening c(g, {.width = 2, .depth = 1});
  const Tensors small = constant_values(c.small()), large = constant_values(g);
  ASSERT_EQ(small.at("fc1.weight").shape(), (Shape{2, 3}));
  ASSERT_EQ(small.at("fc2.weight").shape(), (Shape{2, 2}));
  for (int64_t h = 0; h < 2; ++h) {
    for (int64_t i = 0; i < 3; ++i)
      EXPECT_FLOAT_EQ(small.at("fc1.weight").at(h * 3 + i),
                      (large.at("fc1.weight").at(2 * h * 3 + i) +
                       large.at("fc1.weight").at((2 * h + 1) * 3 + i)) /
                          2);
    for (int64_t o = 0; o < 2; ++o)
      EXPECT_FLOAT_EQ(
          small.at("fc2.weight").at(o * 2 + h),
          large.at("fc2.weight").at(o * 4 + 2 * h) + large.at("fc2.weight").at(o * 4 + 2 * h + 1));
  }
}

TEST(Coalesce, HeadsAreMergedAsAWhole) {
  const Coarsening c(testing::small_gpt(5, 6, 8), {.width = 2, .depth = 1});
  const Tensors small = constant_values(c.small());
  EXPECT_EQ(small.at("attn.qkv.weight").shape(), (Shape{12, 4}));  // one head of 4 in place of two
  EXPECT_EQ(small.at("fc1.weight").shape(), (Shape{8, 4}));
  EXPECT_EQ(small.at("wte.weight").shape(), (Shape{5, 4}));
}

TEST(Coalesce, ClassesCanBeLeftWhole) {
  const Graph g = testing::small_gpt(5, 6, 8);
  const Coarsening c(g, {.width = 2, .depth = 1, .whole = {"fc1*", "attn*"}});
  const Tensors small = constant_values(c.small());
  EXPECT_EQ(small.at("fc1.weight").shape(), (Shape{16, 4}));
  EXPECT_EQ(small.at("attn.qkv.weight").shape(), (Shape{24, 4}));
  EXPECT_THAT(error_of([&] { Coarsening(g, {.width = 2, .depth = 1, .whole = {"fc9*"}}); }),
              HasSubstr("'fc9*'"));
  EXPECT_THAT(error_of([&] { Coarsening(g, {.width = 7, .depth = 1}); }),
              HasSubstr("no widths that are multiples of 7"));
}

// Copies of what a softmax reads as a whole share its result, and the network would be another.
TEST(Coalesce, ARefusalNamesWhatReadsAClassAsAWhole) {
  Graph g;
  g.name = "gated";
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(3)}));
  const ValueId h = b.matmul(x, testing::parameter(g, "in", {3, 4}, 1));
  const ValueId s = b.one("Softmax", {h}, {{"axis", int64_t{-1}}}, "gate");
  const ValueId squared = b.mul(s, s);
  g.add_output(b.matmul(squared, testing::parameter(g, "out", {4, 2}, 1)));
  EXPECT_THAT(error_of([&] { Coarsening(g, {.width = 2, .depth = 1}); }), HasSubstr("gate"));
}

TEST(RepeatedBlocks, AreFoundByStructure) {
  const auto runs = repeated_blocks(residual_layers(5));
  ASSERT_EQ(runs.size(), 1u);
  ASSERT_EQ(runs[0].size(), 5u);
  const Graph g = residual_layers(5);
  std::vector<std::string> names;
  for (ValueId v : runs[0][3].constants) names.push_back(g.value(v).name);
  std::ranges::sort(names);
  EXPECT_THAT(
      names, ElementsAre("layer3.bias", "layer3.in", "layer3.out", "layer3.scale", "layer3.shift"));
  EXPECT_EQ(runs[0][2].out, runs[0][3].in);
  EXPECT_TRUE(repeated_blocks(testing::small_gpt(5, 6, 8)).empty());
  EXPECT_TRUE(repeated_blocks(testing::mlp(3, 4, 2)).empty());
}

TEST(Coalesce, BlocksBecomeTheirMeanAndAreCopied) {
  const Graph g = residual_layers(5);
  const Coarsening c(g, {.width = 1, .depth = 2});
  const Tensors large = constant_values(g), small = constant_values(c.small());
  EXPECT_EQ(repeated_blocks(c.small()).at(0).size(), 3u);
  EXPECT_FALSE(small.contains("layer1.in"));
  for (int64_t i = 0; i < 48; ++i) {
    EXPECT_FLOAT_EQ(small.at("layer2.in").at(i),
                    (large.at("layer2.in").at(i) + large.at("layer3.in").at(i)) / 2);
    EXPECT_EQ(small.at("layer4.in").at(i), large.at("layer4.in").at(i));
  }
  const Tensors back = c.decoalesced(small);
  EXPECT_EQ(back.size(), large.size());
  EXPECT_TRUE(back.at("layer3.in").identical(small.at("layer2.in")));
  for (const auto& [name, t] : c.coalesced(back)) EXPECT_TRUE(t.identical(small.at(name))) << name;
  // A network whose blocks are alike in twos already has the same blocks, each once.
  Graph shorter = residual_layers(3);
  Tensors values;
  for (const auto& [name, t] : small) {
    std::string other = name;
    if (name.starts_with("layer2")) other.replace(0, 6, "layer1");
    if (name.starts_with("layer4")) other.replace(0, 6, "layer2");
    values[other] = t;
  }
  shorter = with_values(shorter, values);
  EXPECT_TRUE(interpret(shorter, {{tokens()}})[0].identical(interpret(c.small(), {{tokens()}})[0]));
}

TEST(Coalesce, NetworksWithoutRepeatedBlocksAreRefused) {
  EXPECT_THAT(error_of([] { Coarsening(testing::mlp(3, 4, 2), {}); }),
              HasSubstr("repeats no blocks"));
}

TEST(Coalesce, InterpolationGoesFromOneToTheOther) {
  const Tensors a = {{"x", Tensor::from<float>({2}, {1, 2})}, {"y", Tensor::scalar(3.0f)}};
  const Tensors b = {{"x", Tensor::from<float>({2}, {5, -2})}};
  const Tensors c = interpolated(a, b, 0.25);
  EXPECT_EQ(c.at("x").at(0), 2);
  EXPECT_EQ(c.at("x").at(1), 1);
  EXPECT_EQ(c.at("y").at(0), 3);
}

}  // namespace
}  // namespace espalier

#include "recipe/choose_precision.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <set>

#include "base/error.h"
#include "compress/half_precision.h"
#include "compress/quantize.h"
#include "ir/integer_coding.h"
#include "ir/interpret.h"
#include "ir/verify.h"
#include "recipe/layer_times.h"
#include "tests/support/networks.h"

namespace espalier {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const std::vector<Shape> kShapes = {{1, 3, 8, 8}};

std::vector<std::vector<Tensor>> batches_of(const Graph& g, int count) {
  std::vector<std::vector<Tensor>> batches;
  for (int i = 0; i < count; ++i) batches.push_back(testing::random_inputs(g, 4, uint64_t(i)));
  return batches;
}

std::vector<std::string> names(const PrecisionChoice& choice) {
  std::vector<std::string> names;
  for (const auto& c : choice.candidates) names.push_back(c.name);
  return names;
}

TEST(ChoosePrecision, TheFastestThatIsNearEnough) {
  const Graph g = testing::residual();
  const auto choice =
      choose_precision(g, kShapes, batches_of(g, 4), {.max_error = 0.5, .rounds = 1});
  EXPECT_THAT(names(choice), Contains("int8"));
  EXPECT_EQ(choice.batches, 2);
  EXPECT_EQ(choice.layers.size(), contraction_names(prepared_for_quantization(g)).size());
  for (const auto& c : choice.candidates) {
    EXPECT_EQ(violation(c.graph), "") << c.name;
    EXPECT_EQ(c.fits, c.relative_error <= 0.5) << c.name;
    if (c.fits) {
      EXPECT_GE(c.timing.median_ms, choice.best().timing.median_ms) << c.name;
    }
  }
  EXPECT_TRUE(choice.best().fits);
  EXPECT_EQ(choice.candidates[0].relative_error, 0);
  EXPECT_GT(choice.candidates[1].relative_error, 0);
}

TEST(ChoosePrecision, NothingButFloatIsExact) {
  const Graph g = testing::residual();
  const auto choice = choose_precision(g, kShapes, batches_of(g, 2), {.max_error = 0, .rounds = 1});
  EXPECT_EQ(choice.best().name, "f32");
  for (const auto& layer : choice.layers) EXPECT_EQ(layer.precision, "f32") << layer.layer;
}

TEST(ChoosePrecision, WithoutDataNoIntegers) {
  const auto choice = choose_precision(testing::residual(), kShapes, {}, {.rounds = 1});
  EXPECT_THAT(names(choice), ElementsAre("f32", "bf16"));
  EXPECT_THAT(choice.notes, ElementsAre(HasSubstr("no data were given")));
}

TEST(ChoosePrecision, WithoutBf16NoBf16) {
  const Graph g = testing::residual();
  const auto choice =
      choose_precision(g, kShapes, batches_of(g, 2), {.max_error = 1, .rounds = 1, .bf16 = false});
  for (const auto& c : choice.candidates)
    for (NodeId id : c.graph.order())
      for (ValueId v : c.graph.node(id).outputs)
        EXPECT_NE(c.graph.value(v).tensor().dtype, DType::bf16) << c.name;
  EXPECT_THAT(names(choice), Not(Contains("bf16")));
}

TEST(ChoosePrecision, QuantisedNetworksAreRefused) {
  const Graph prepared = prepared_for_quantization(testing::residual());
  Calibrator c(prepared, RangeMethod::kMinMax);
  c.observe(testing::random_inputs(prepared, 4, 1));
  const Graph q = quantize(prepared, c.ranges());
  try {
    choose_precision(q, kShapes, {}, {});
    FAIL();
  } catch (const UserError& e) {
    EXPECT_EQ(e.code(), ExitCode::kUnsupported);
    EXPECT_THAT(e.problem(), HasSubstr("quantised to integers already"));
  }
}

// A product of two activations has no integer form: it is tried in bf16 beside the integers.
TEST(ChoosePrecision, ProductsOfActivationsInBf16BesideIntegers) {
  testing::NetworkWriter n("scores");
  const ValueId x = n.graph.add_input("x", TensorType(DType::f32, Shape{64, 256}));
  const auto product = [&](ValueId a, ValueId b, const std::string& name) {
    return n.b.one("MatMul", {a, b}, {}, name);
  };
  const ValueId q = product(x, n.parameter("wq", {256, 256}, -0.2, 0.2), "q");
  const ValueId k = product(x, n.parameter("wk", {256, 256}, -0.2, 0.2), "k");
  const ValueId scores = product(q, n.b.transpose(k, {1, 0}), "scores");
  const Graph g = n.finish(product(scores, n.parameter("wo", {64, 256}, -0.4, 0.4), "out"));
  const std::vector<Shape> shapes = {{64, 256}};
  const auto choice = choose_precision(g, shapes, batches_of(g, 4), {.max_error = 1, .rounds = 1});
  // Where integers are slow, as without VNNI, no layer stays on them.
  int with_weights = 0;
  for (const LayerPrecision& l : choice.layers) {
    if (l.layer == g.value(scores).name) continue;
    ++with_weights;
    for (const char* precision : {"f32", "bf16", "int8"})
      EXPECT_TRUE(l.ms.contains(precision)) << l.layer << ' ' << precision;
  }
  ASSERT_EQ(with_weights, 3);
  const auto slower = [&](const LayerPrecision& l) {
    return l.layer != g.value(scores).name &&
           std::min(l.ms.at("f32"), l.ms.at("bf16")) < l.ms.at("int8");
  };
  if (std::ranges::count_if(choice.layers, slower) >= 3) GTEST_SKIP() << "integers are slow here";
  ASSERT_THAT(names(choice), Contains("mixed"));
  const Graph& mixed = choice.candidates.back().graph;
  EXPECT_EQ(violation(mixed), "");
  const auto facts = layer_facts(mixed, {"q", "scores"}, 1);
  EXPECT_EQ(facts.at("q").precision, "int8");
  EXPECT_EQ(facts.at("scores").precision, "bf16");
  const auto without =
      choose_precision(g, shapes, batches_of(g, 4), {.max_error = 1, .rounds = 1, .bf16 = false});
  for (const auto& c : without.candidates)
    for (const auto& [name, layer] : layer_facts(c.graph, contraction_names(g), 1))
      EXPECT_NE(layer.precision, "bf16") << c.name << ' ' << name;
}

// One layer in f32, one in bf16, the others on integers.
TEST(ToBf16Beside, ThreePrecisionsInOneNetwork) {
  const Graph prepared = prepared_for_quantization(testing::residual());
  Calibrator c(prepared, RangeMethod::kMinMax);
  const auto inputs = testing::random_inputs(prepared, 4, 1);
  c.observe(inputs);
  const auto layers = quantizable_layers(prepared);
  ASSERT_GT(layers.size(), 3u);
  const std::set<std::string> out = {layers[1], layers[2]};
  const Graph mixed = to_bf16_beside(quantize(prepared, c.ranges(), out), {layers[2]});
  EXPECT_EQ(violation(mixed), "");
  const auto facts = layer_facts(specialised(mixed, kShapes),
                                 contraction_names(specialised(prepared, kShapes)), 1);
  std::multiset<std::string> precisions;
  for (const auto& [name, layer] : facts) precisions.insert(layer.precision);
  EXPECT_EQ(precisions.count("bf16"), 1u);
  EXPECT_EQ(precisions.count("f32"), 1u);
  EXPECT_EQ(precisions.count("int8"), facts.size() - 2);
  EXPECT_GE(facts.size(), layers.size() - 1);  // the classifier's node has no name
  const Tensor want = interpret(prepared, inputs)[0], got = interpret(mixed, inputs)[0];
  EXPECT_LT(testing::largest_difference(got, want), 0.5);
}

}  // namespace
}  // namespace espalier

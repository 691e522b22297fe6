#include "compress/restrict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "base/rng.h"
#include "ir/interpret.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "tests/compress/cuts.h"
#include "tests/support/networks.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;

struct Named {
  const char* name;
  Graph (*make)();
};

class Cuts : public ::testing::TestWithParam<Named> {};
INSTANTIATE_TEST_SUITE_P(Networks, Cuts,
                         ::testing::Values(Named{"mlp", testing::mlp},
                                           Named{"residual", testing::residual},
                                           Named{"depthwise", testing::depthwise},
                                           Named{"concat", testing::concat}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(Cuts, PrunedIsMaskedExactly) {
  const Graph g = GetParam().make();
  const AxisClasses classes = axis_classes(g);
  ASSERT_FALSE(classes.classes.empty());
  for (uint64_t seed : {1, 2, 3})
    testing::expect_cut_equals_masked(g, classes, testing::random_keep(classes, seed));
}

TEST_P(Cuts, EachClassAloneIsMaskedExactly) {
  const Graph g = GetParam().make();
  const AxisClasses classes = axis_classes(g);
  for (size_t c = 0; c < classes.classes.size(); ++c) {
    Keep keep = Keep::all(classes);
    keep.groups[c][0] = false;
    const Graph pruned = testing::expect_cut_equals_masked(g, classes, keep);
    EXPECT_NE(print(pruned), print(g.compacted()));
  }
}

TEST_P(Cuts, KeepingAllChangesNothing) {
  const Graph g = GetParam().make();
  const AxisClasses classes = axis_classes(g);
  EXPECT_EQ(print(restrict(g, classes, Keep::all(classes))), print(g.compacted()));
}

TEST_P(Cuts, ACutNetworkIsCutAgain) {
  const Graph g = GetParam().make();
  const AxisClasses once = axis_classes(g);
  const Graph pruned = restrict(g, once, testing::random_keep(once, 5, 0.9));
  const AxisClasses twice = axis_classes(pruned);
  testing::expect_cut_equals_masked(pruned, twice, testing::random_keep(twice, 6));
}

TEST_P(Cuts, PermutingPreservesTheFunction) {
  const Graph g = GetParam().make();
  const AxisClasses classes = axis_classes(g);
  const auto x = testing::random_inputs(g, 2, 9);
  const Tensor want = interpret(g, x)[0];
  for (size_t c = 0; c < classes.classes.size(); ++c) {
    const auto order = Rng(c, 1).permutation(int64_t(classes.classes[c].groups.size()));
    const Graph permuted = permute(g, classes, c, order);
    EXPECT_EQ(violation(permuted), "");
    EXPECT_NE(print(permuted), print(g.compacted()));
    EXPECT_LE(testing::largest_difference(interpret(permuted, x)[0], want), 1e-4);
  }
}

TEST(Restrict, MomentsAreCutLikeTheirParameter) {
  const Graph g = testing::mlp();
  const AxisClasses classes = axis_classes(g);
  Keep keep = Keep::all(classes);
  for (size_t i = 0; i < 16; i += 2) keep.groups[0][i] = false;
  const Graph pruned = restrict(g, classes, keep);
  const Tensor& weight = *g.value(g.find("fc1.weight")).constant;
  EXPECT_TRUE(restricted_tensor(classes, keep, "fc1.weight", weight)
                  .identical(*pruned.value(pruned.find("fc1.weight")).constant));
  EXPECT_EQ(restricted_tensor(classes, keep, "no such name", weight).shape(), weight.shape());
}

TEST(Restrict, ShapeOperandsAndSymbolicBatchesSurvive) {
  // Attention over 6 heads of 4: reshape, transpose and back; the heads are a class.
  testing::NetworkWriter n("attention");
  const ValueId x =
      n.graph.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(5), Dim(8)}));
  const auto heads = [&](const std::string& name) {
    const ValueId y = n.b.matmul(x, n.parameter(name, {8, 24}, -0.4, 0.4));
    return n.b.transpose(n.b.reshape(y, {0, 0, 6, 4}), {0, 2, 1, 3});
  };
  const ValueId q = heads("q"), k = heads("k"), v = heads("v");
  const ValueId scores =
      n.b.one("Softmax", {n.b.matmul(q, n.b.transpose(k, {0, 1, 3, 2}))}, {{"axis", int64_t{-1}}});
  const ValueId mixed =
      n.b.reshape(n.b.transpose(n.b.matmul(scores, v), {0, 2, 1, 3}), {0, -1, 24});
  const Graph g = n.finish(n.b.matmul(mixed, n.parameter("o", {24, 8}, -0.4, 0.4)));
  const AxisClasses classes = axis_classes(g);
  ASSERT_EQ(classes.classes.size(), 1u);
  ASSERT_EQ(classes.classes[0].groups.size(), 6u);
  const Graph pruned =
      testing::expect_cut_equals_masked(g, classes, testing::random_keep(classes, 2));
  EXPECT_EQ(pruned.value(pruned.outputs()[0]).tensor().dims[0], Dim::symbol("N"));
}

TEST(Restrict, NormalisationsSeeTheKeptPositionsOnly) {
  testing::NetworkWriter n("normed");
  const ValueId x = n.graph.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(6)}));
  ValueId h = n.linear(x, 10, "fc1");
  h = n.b.one("LayerNormalization",
              {h, n.parameter("ln.weight", {10}, 0.5, 1.5), n.parameter("ln.bias", {10}, -1, 1)});
  const Graph g = n.finish(n.linear(h, 3, "fc2"));
  const AxisClasses classes = axis_classes(g);
  ASSERT_EQ(classes.classes.size(), 1u);
  EXPECT_TRUE(classes.classes[0].reads_whole);
  EXPECT_THAT(classes.classes[0].whole_reader, HasSubstr("LayerNormalization"));
  testing::expect_cut_equals_masked(g, classes, testing::random_keep(classes, 3));
}

TEST(Restrict, GroupsOfChannelsLoseAlike) {
  testing::NetworkWriter n("grouped");
  const ValueId x = n.graph.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(6)}));
  ValueId h = n.linear(x, 12, "fc1");
  h = n.b.one("GroupNormalization",
              {h, n.parameter("gn.weight", {12}, 0.5, 1.5), n.parameter("gn.bias", {12}, -1, 1)},
              {{"num_groups", int64_t{3}}});
  const Graph g = n.finish(n.linear(h, 3, "fc2"));
  const AxisClasses classes = axis_classes(g);
  ASSERT_EQ(classes.classes.size(), 1u);
  EXPECT_EQ(classes.classes[0].groups.size(), 4u);  // one channel of each group
  testing::expect_cut_equals_masked(g, classes, testing::random_keep(classes, 3));
}

TEST(Restrict, WhereZeroDoesNotPassTheMaskedTwinMasks) {
  testing::NetworkWriter n("sigmoid");
  const ValueId x = n.graph.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(6)}));
  const ValueId h = n.b.one("Sigmoid", {n.linear(x, 10, "fc1")});
  // Both operands of the product are computed: no zero weight silences sigmoid(0) = 0.5.
  const ValueId y = n.b.matmul(n.b.transpose(h, {1, 0}), n.linear(x, 4, "fc2"));
  const ValueId z = n.b.matmul(n.b.reshape(h, {-1, 10}), y);
  const Graph g = n.finish(z);
  const AxisClasses classes = axis_classes(g);
  size_t at = 0;
  while (at < classes.classes.size() && classes.classes[at].zero_passes) ++at;
  ASSERT_LT(at, classes.classes.size());
  EXPECT_THAT(classes.classes[at].zero_breaker, HasSubstr("Sigmoid"));
  testing::expect_cut_equals_masked(g, classes, testing::random_keep(classes, 4));
}

}  // namespace
}  // namespace espalier

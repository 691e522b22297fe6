#include "compress/budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "compress/restrict.h"
#include "tests/compress/cuts.h"
#include "tests/support/networks.h"

namespace espalier {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Saliency flat_saliency(const AxisClasses& classes) {
  Saliency s;
  for (const AxisClass& c : classes.classes) s.emplace_back(c.groups.size(), 1.0);
  normalise(s);
  return s;
}

TEST(Budget, MeetsTheTargetAndNoMore) {
  const AxisClasses classes = axis_classes(testing::residual());
  for (double target : {0.8, 0.5, 0.25}) {
    const auto keep =
        choose_cut(classes, flat_saliency(classes), {.macs = target}, Keep::all(classes));
    ASSERT_TRUE(keep.has_value());
    const double share =
        cost_of_cut(classes, *keep).macs / cost_of_cut(classes, Keep::all(classes)).macs;
    EXPECT_LE(share, target);
    EXPECT_GT(share, target - 0.1);
  }
}

TEST(Budget, LeastSalientGroupsGoFirst) {
  const AxisClasses classes = axis_classes(testing::mlp());
  Saliency s = flat_saliency(classes);
  for (size_t i : {2, 5, 11}) s[0][i] = 1e-6;
  const auto keep = choose_cut(classes, s, {.macs = 0.85}, Keep::all(classes));
  ASSERT_TRUE(keep.has_value());
  for (size_t i : {2, 5, 11}) EXPECT_FALSE((*keep)(0, i)) << i;
}

TEST(Budget, WidthsAreMultiples) {
  const AxisClasses classes = axis_classes(testing::mlp());  // 16 and 10 wide
  const auto keep = choose_cut(classes, flat_saliency(classes), {.macs = 0.6, .width_multiple = 4},
                               Keep::all(classes));
  ASSERT_TRUE(keep.has_value());
  EXPECT_TRUE(keep->kept(0) % 4 == 0 || keep->kept(0) == 16) << keep->kept(0);
  EXPECT_TRUE(keep->kept(1) % 4 == 0 || keep->kept(1) == 10) << keep->kept(1);
}

TEST(Budget, WhatIsCutStaysCut) {
  const AxisClasses classes = axis_classes(testing::mlp());
  Keep start = Keep::all(classes);
  start.groups[0][7] = start.groups[1][0] = false;
  Saliency s = flat_saliency(classes);
  s[0][7] = s[1][0] = 100;
  const auto keep = choose_cut(classes, s, {.macs = 0.5}, start);
  ASSERT_TRUE(keep.has_value());
  EXPECT_FALSE((*keep)(0, 7));
  EXPECT_FALSE((*keep)(1, 0));
}

TEST(Budget, InfeasibleIsSaidWithWhatWouldBe) {
  const AxisClasses classes = axis_classes(testing::mlp());
  CutShares smallest;
  EXPECT_FALSE(choose_cut(classes, flat_saliency(classes), {.macs = 0.01, .least_share = 0.5},
                          Keep::all(classes), &smallest)
                   .has_value());
  EXPECT_GT(smallest.macs, 0.2);
  try {
    magnitude_cut(classes, {.macs = 0.01});
    FAIL();
  } catch (const UserError& e) {
    EXPECT_EQ(e.code(), ExitCode::kInfeasible);
    EXPECT_THAT(e.what(), HasSubstr("cannot be cut to 1 %"));
  }
}

TEST(Budget, HoldsForParametersToo) {
  const AxisClasses classes = axis_classes(testing::mlp());
  const double all = cost_of_cut(classes, Keep::all(classes)).params;
  for (const double target : {0.9, 0.5, 0.3}) {
    const auto keep = choose_cut(classes, flat_saliency(classes), {.macs = 1, .params = target},
                                 Keep::all(classes));
    ASSERT_TRUE(keep.has_value()) << target;
    const double left = cost_of_cut(classes, *keep).params / all;
    EXPECT_LE(left, target);
    EXPECT_GT(left, target - 0.15);
    const AxisClasses cut = axis_classes(restrict(classes.graph, classes, *keep));
    EXPECT_EQ(cost_of_cut(classes, *keep).params, cost_of_cut(cut, Keep::all(cut)).params);
  }
  CutShares smallest;
  EXPECT_FALSE(choose_cut(classes, flat_saliency(classes), {.macs = 0.9, .params = 0.01},
                          Keep::all(classes), &smallest));
  EXPECT_THAT(infeasible_cut(classes, {.macs = 0.9, .params = 0.01}, smallest).what(),
              HasSubstr("cannot be cut to 1 % of its parameters"));
}

TEST(Budget, MagnitudeCutDropsTheWeakest) {
  Graph g = testing::mlp();
  Tensor w = g.value(g.find("fc1.weight")).constant->clone();
  Tensor bias = g.value(g.find("fc1.bias")).constant->clone();
  for (int64_t unit : {1, 9}) {
    zero_slices(w, 1, {unit});
    zero_slices(bias, 0, {unit});
  }
  g.mutable_value(g.find("fc1.weight")).constant = w;
  g.mutable_value(g.find("fc1.bias")).constant = bias;
  const AxisClasses classes = axis_classes(g);
  const Keep keep = magnitude_cut(classes, {.macs = 0.9});
  EXPECT_FALSE(keep(0, 1));
  EXPECT_FALSE(keep(0, 9));
  EXPECT_THAT(describe_cut(classes, keep), ElementsAre("fc1.weight[1]: 14 of 16"));
}

TEST(Budget, AUniformCutKeepsAShareOfEachClass) {
  const AxisClasses classes = axis_classes(testing::mlp());  // 16 and 10 wide
  const Keep half = uniform_cut(classes, 0.5), eights = uniform_cut(classes, 0.3, 8);
  EXPECT_EQ(half.kept(0), 8u);
  EXPECT_EQ(half.kept(1), 5u);
  EXPECT_EQ(eights.kept(0), 8u);
  EXPECT_EQ(eights.kept(1), 3u);
}

TEST(Saliency, MixesNormalisedScores) {
  const double inf = std::numeric_limits<double>::infinity();
  const Saliency a = {{1, 3}, {inf}}, b = {{30, 10}, {inf}};
  const Saliency m = mixed({a, b});
  EXPECT_DOUBLE_EQ(m[0][0], 0.5 * (0.25 + 0.75));
  EXPECT_DOUBLE_EQ(m[0][1], 0.5);
  EXPECT_EQ(m[1][0], inf);
}

TEST(Saliency, TaylorIsTheFirstOrderChange) {
  const AxisClasses classes = axis_classes(testing::mlp());
  const TensorOf p = constants_of(classes);
  const Saliency s = taylor(classes, p, p);  // gradient = parameter: the squared norm
  const Tensor &w = *p("fc1.weight"), &c = *p("fc1.bias");
  double want = c.at(4) * c.at(4);
  for (int64_t k = 0; k < 12; ++k) want += w.at(k * 16 + 4) * w.at(k * 16 + 4);
  EXPECT_NEAR(s[0][4], want, 1e-6);
  EXPECT_NEAR(magnitude(classes, p)[0][4], std::sqrt(want / 13), 1e-6);
}

}  // namespace
}  // namespace espalier

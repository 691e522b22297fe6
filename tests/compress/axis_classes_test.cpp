#include "compress/axis_classes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "ir/derive.h"
#include "ir/room.h"
#include "tests/compress/cuts.h"
#include "tests/support/networks.h"

namespace espalier {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> summary(const AxisClasses& classes) {
  std::vector<std::string> lines;
  for (const AxisClass& c : classes.classes)
    lines.push_back(c.name + " x" + std::to_string(c.groups.size()));
  return lines;
}

std::string pin_of(const AxisClasses& classes, const std::string& value, int axis) {
  for (const PinnedAxis& p : classes.pinned)
    if (classes.graph.value(p.value).name == value && p.axis == axis) return p.reason;
  return "";
}

TEST(AxisClasses, HiddenUnitsOfAnMlpAreClasses) {
  const AxisClasses classes = axis_classes(testing::mlp());
  EXPECT_THAT(summary(classes), ElementsAre("fc1.weight[1] x16", "fc2.weight[1] x10"));
  const AxisClass& hidden = classes.classes[0];
  // One column of fc1, its bias, one row of fc2.
  EXPECT_EQ(hidden.params, 12 + 1 + 10);
  EXPECT_EQ(hidden.macs, 12 + 10);
  EXPECT_TRUE(hidden.zero_passes);
  EXPECT_FALSE(hidden.reads_whole);
  std::vector<std::string> produces;
  for (const AxisSlice& s : hidden.groups[3].slices) {
    if (!classes.graph.is_constant(s.value)) continue;
    EXPECT_THAT(s.positions, ElementsAre(3));
    if (s.produces) produces.push_back(classes.graph.value(s.value).name);
  }
  EXPECT_THAT(produces, ElementsAre("fc1.weight", "fc1.bias"));
}

TEST(AxisClasses, PinsSayWhy) {
  const AxisClasses classes = axis_classes(testing::mlp());
  EXPECT_THAT(pin_of(classes, "fc1.weight", 0), HasSubstr("'x' is a graph input"));
  EXPECT_THAT(pin_of(classes, "fc3.weight", 1), HasSubstr("is a graph output"));
  EXPECT_EQ(pin_of(classes, "fc2.weight", 0), "");
}

TEST(AxisClasses, ARefusedFacetPinsWithItsReason) {
  Graph g;
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, Shape{2, 4}));
  const ValueId w = g.add_constant("w", testing::random_tensor({4, 6}, "w"), Role::kParameter);
  const ValueId h = b.matmul(x, w);
  Room stubborn = *g.node(g.order().back()).room;
  stubborn.op.name = "Stubborn";
  stubborn.arity = {1, 1};
  stubborn.axes = Refuse{"it reads its operand backwards"};
  stubborn.cost = std::function<Cost(const Attributes&, const TypesIn&, const Types&)>(
      [](const Attributes&, const TypesIn&, const Types&) { return Cost{}; });
  stubborn.infer = std::function<Types(const Attributes&, const TypesIn&)>(
      [](const Attributes&, const TypesIn& in) { return Types{in[0]}; });
  g.add_output(b.op(stubborn, {}, {h}, "s").at(0));
  const AxisClasses classes = axis_classes(g);
  EXPECT_THAT(summary(classes), ElementsAre());
  EXPECT_THAT(pin_of(classes, "w", 1), HasSubstr("it reads its operand backwards"));
}

TEST(AxisClasses, ResidualSumsTieChannels) {
  const AxisClasses classes = axis_classes(testing::residual());
  EXPECT_THAT(summary(classes),
              ElementsAre("stem.weight[0] x8", "layer1.conv1.weight[0] x8",
                          "layer2.conv1.weight[0] x12", "layer2.conv2.weight[0] x12"));
}

TEST(AxisClasses, DepthwiseChannelsGoWithTheirExpansion) {
  const AxisClasses classes = axis_classes(testing::depthwise());
  EXPECT_THAT(summary(classes),
              ElementsAre("stem.weight[0] x4", "block1.expand.weight[0] x12",
                          "block2.expand.weight[0] x12", "block2.project.weight[0] x6"));
}

TEST(AxisClasses, ConcatKeepsBranchesApart) {
  const AxisClasses classes = axis_classes(testing::concat());
  EXPECT_THAT(summary(classes),
              ElementsAre("a.weight[0] x6", "b.weight[0] x4", "join.weight[0] x7"));
  // A channel of `join` is 2 x 2 rows of the classifier.
  for (const AxisSlice& s : classes.classes[2].groups[1].slices)
    if (classes.graph.value(s.value).name == "fc.weight") {
      EXPECT_THAT(s.positions, ElementsAre(4, 5, 6, 7));
      EXPECT_FALSE(s.produces);
    }
}

TEST(AxisClasses, OneWayToCutAMergedAxisIsChosen) {
  // [N,12] -> [N,3,4] -> [N,12]: threes and fours contest the twelve; the threes win.
  Graph g;
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, Shape{1, 5}));
  const auto weight = [&](const std::string& name, Shape shape) {
    return g.add_constant(name, testing::random_tensor(shape, name), Role::kParameter);
  };
  ValueId h = b.matmul(x, weight("w1", {5, 12}));
  h = b.reshape(b.add(b.reshape(h, {1, 3, 4}), weight("bias", {3, 4})), {1, 12});
  g.add_output(b.matmul(h, weight("w2", {12, 2})));
  const AxisClasses classes = axis_classes(g);
  EXPECT_THAT(summary(classes), ElementsAre("w1[1] x3"));
  EXPECT_EQ(classes.classes[0].params, 5 * 4 + 4 + 4 * 2);
}

TEST(AxisClasses, CostOfACutIsMultilinear) {
  const AxisClasses classes = axis_classes(testing::mlp());
  Keep keep = Keep::all(classes);
  EXPECT_EQ(cost_of_cut(classes, keep).macs, cost_of(classes.graph).macs);
  for (size_t i = 0; i < 8; ++i) keep.groups[0][i] = false;
  EXPECT_EQ(cost_of_cut(classes, keep).macs, 12 * 8 + 8 * 10 + 10 * 5);
  EXPECT_EQ(cost_of_cut(classes, keep).params, 12 * 8 + 8 + 8 * 10 + 10 + 10 * 5 + 5);
}

}  // namespace
}  // namespace espalier

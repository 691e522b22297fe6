#include "compress/modules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/interpret.h"
#include "tests/support/error_of.h"
#include "tests/train/networks.h"

namespace espalier {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using testing::residual_mlp;
using Names = std::set<std::string>;
constexpr ModulePart kWhole = ModulePart::kWhole, kStandIn = ModulePart::kStandIn,
                     kNothing = ModulePart::kNothing;

Names constants(const Graph& g) {
  Names names;
  for (ValueId v : g.constants()) names.insert(g.value(v).name);
  return names;
}

Names layers(std::initializer_list<const char*> of) {
  Names names;
  for (const std::string name : of) names.insert({name + ".weight", name + ".bias"});
  return names;
}

TEST(ModuleSplit, StemAndHeadBelongToFirstAndLast) {
  const ModuleSplit s(residual_mlp(7), 3);
  EXPECT_EQ(s.blocks(0), 2);
  EXPECT_EQ(s.blocks(1), 2);
  EXPECT_EQ(s.blocks(2), 3);
  EXPECT_EQ(s.constants(0), layers({"first", "layer0", "layer1"}));
  EXPECT_EQ(s.constants(1), layers({"layer2", "layer3"}));
  EXPECT_EQ(s.constants(2), layers({"layer4", "layer5", "layer6", "last"}));
  for (int64_t m = 0; m < 3; ++m) EXPECT_TRUE(s.shared(m).empty());
}

/// What the residual network of these layers computes, layers left out skipped.
Tensor computed(const std::vector<int>& kept, const Tensor& x) {
  Graph g;
  Builder b(g);
  ValueId v = g.add_input("x", TensorType(DType::f32, Dims{Dim(4), Dim(2)}));
  const auto linear = [&](const std::string& name, int64_t in, int64_t out) {
    return b.add(b.matmul(v, testing::parameter(g, name + ".weight", {in, out}, 0.4)),
                 testing::parameter(g, name + ".bias", {out}, 0.1));
  };
  v = linear("first", 2, 8);
  for (int i : kept) v = b.add(v, b.one("Tanh", {linear("layer" + std::to_string(i), 8, 8)}));
  g.add_output(linear("last", 8, 3));
  return interpret(g, std::vector<Tensor>{x})[0];
}

TEST(ModuleSplit, PartsComputeWhatTheLayersThatStayDo) {
  const Graph network = residual_mlp(6);
  const ModuleSplit s(network, 3);
  const Tensor x = testing::random_tensor({4, 2}, "x", 1);
  const auto expect = [&](std::vector<ModulePart> parts, const std::vector<int>& kept) {
    const Graph g = s.with_parts(parts);
    EXPECT_TRUE(interpret(g, std::vector<Tensor>{x})[0].identical(computed(kept, x)));
    EXPECT_EQ(g.value(g.outputs()[0]).name, network.value(network.outputs()[0]).name);
    EXPECT_EQ(constants(g).size(), 4 + 2 * kept.size());
  };
  expect({kWhole, kWhole, kWhole}, {0, 1, 2, 3, 4, 5});
  expect({kStandIn, kStandIn, kStandIn}, {0, 2, 4});
  expect({kStandIn, kWhole, kStandIn}, {0, 2, 3, 4});
  expect({kNothing, kWhole, kNothing}, {2, 3});
  expect({kWhole, kWhole, kNothing}, {0, 1, 2, 3});
  expect({kNothing, kNothing, kStandIn}, {4});
}

TEST(ModuleSplit, ARepeatedBlockMayBeTheResult) {
  Graph g;
  g.name = "blocks";
  Builder b(g);
  ValueId v = g.add_input("x", TensorType(DType::f32, Dims{Dim(4), Dim(8)}));
  for (int i = 0; i < 4; ++i)
    v = b.one("Tanh", {b.matmul(v, testing::parameter(g, "w" + std::to_string(i), {8, 8}, 0.4))});
  g.rename(v, "y");
  g.add_output(v);
  const ModuleSplit s(g, 2);
  const Graph front = s.with_parts(std::array{kStandIn, kNothing});
  EXPECT_EQ(constants(front), Names{"w0"});
  EXPECT_EQ(front.value(front.outputs()[0]).name, "y");
}

TEST(ModuleSplit, UnlikeBlocksHaveAStandInEach) {
  // Two runs, of widths 8 and 4, with a layer between them.
  Graph g;
  g.name = "narrowing";
  Builder b(g);
  ValueId v = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(8)}));
  const auto blocks = [&](const std::string& name, int64_t width) {
    for (int i = 0; i < 3; ++i)
      v = b.add(v, b.one("Tanh", {b.matmul(v, testing::parameter(g, name + std::to_string(i),
                                                                 {width, width}, 0.4))}));
  };
  blocks("wide", 8);
  v = b.matmul(v, testing::parameter(g, "between", {8, 4}, 0.4));
  blocks("narrow", 4);
  g.add_output(v);
  const ModuleSplit two(g, 2), three(g, 3);
  EXPECT_EQ(two.constants(0), (Names{"wide0", "wide1", "wide2"}));
  EXPECT_EQ(two.constants(1), (Names{"between", "narrow0", "narrow1", "narrow2"}));
  EXPECT_EQ(three.constants(1), (Names{"wide2", "between", "narrow0"}));
  EXPECT_EQ(constants(three.with_parts(std::vector(3, kStandIn))),
            (Names{"wide0", "wide2", "between", "narrow0", "narrow1"}));
}

Graph tied_mlp() {
  Graph g;
  g.name = "tied";
  Builder b(g);
  ValueId v = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(3)}));
  const ValueId tied = testing::parameter(g, "tied", {3, 8}, 0.4);
  v = b.matmul(v, tied);
  for (int i = 0; i < 4; ++i)
    v = b.add(v, b.one("Tanh",
                       {b.matmul(v, testing::parameter(g, "w" + std::to_string(i), {8, 8}, 0.4))}));
  g.add_output(b.matmul(v, b.transpose(tied, {1, 0})));
  return g;
}

TEST(ModuleJobs, OfAMetaModelTrainTheModuleAlone) {
  const std::vector<ModuleJob> jobs = module_jobs(ModuleSplit(tied_mlp(), 2), Around::kMeta);
  ASSERT_EQ(jobs.size(), 3u);
  EXPECT_EQ(jobs[0].name, "meta");
  EXPECT_EQ(jobs[0].trained, (Names{"tied", "w0", "w2"}));
  EXPECT_EQ(jobs[0].kept, jobs[0].trained);
  EXPECT_EQ(jobs[1].name, "module1");
  EXPECT_EQ(constants(jobs[1].network), (Names{"tied", "w0", "w1", "w2"}));
  EXPECT_EQ(jobs[1].trained, (Names{"w0", "w1"}));
  EXPECT_EQ(constants(jobs[2].network), (Names{"tied", "w0", "w2", "w3"}));
  EXPECT_EQ(jobs[2].trained, (Names{"w2", "w3"}));
  EXPECT_EQ(jobs[2].kept, jobs[2].trained);
}

TEST(ModuleJobs, WithoutOneTrainWhatIsAroundThem) {
  const std::vector<ModuleJob> greedy = module_jobs(ModuleSplit(tied_mlp(), 2), Around::kBelow);
  ASSERT_EQ(greedy.size(), 2u);
  EXPECT_EQ(greedy[0].trained, (Names{"tied", "w0", "w1"}));
  EXPECT_EQ(greedy[0].kept, greedy[0].trained);
  EXPECT_EQ(constants(greedy[1].network), (Names{"tied", "w0", "w1", "w2", "w3"}));
  EXPECT_EQ(greedy[1].trained, (Names{"w2", "w3"}));
  const std::vector<ModuleJob> alone =
      module_jobs(ModuleSplit(residual_mlp(4), 2), Around::kNothing);
  ASSERT_EQ(alone.size(), 2u);
  EXPECT_EQ(alone[0].trained, layers({"first", "layer0", "layer1", "last"}));
  EXPECT_EQ(alone[0].kept, layers({"first", "layer0", "layer1"}));
  EXPECT_EQ(alone[1].trained, layers({"first", "layer2", "layer3", "last"}));
  EXPECT_EQ(alone[1].kept, layers({"layer2", "layer3", "last"}));
}

TEST(ModuleSplit, NetworksWithoutEnoughBlocksAreRefused) {
  EXPECT_THAT(error_of([] { ModuleSplit(testing::mlp(2, 8, 3), 2); }),
              HasSubstr("repeats no blocks that modules could be made of"));
  EXPECT_THAT(error_of([] { ModuleSplit(residual_mlp(3), 4); }),
              HasSubstr("repeats 3 blocks, too few for 4 modules"));
  EXPECT_THAT(error_of([] { module_jobs(ModuleSplit(residual_mlp(4), 4), Around::kMeta); }),
              HasSubstr("modules of one block each"));
  EXPECT_EQ(module_jobs(ModuleSplit(residual_mlp(4), 4), Around::kBelow).size(), 4u);
}

}  // namespace
}  // namespace espalier

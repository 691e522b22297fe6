#include "passes/fuse_region.h"

#include <gtest/gtest.h>

#include "ir/interpret.h"
#include "ir/registry.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "passes/passes.h"

namespace espalier {
namespace {

int regions_of(const Graph& g) {
  int count = 0;
  for (NodeId id : g.order()) count += g.node(id).room == &room_named("espalier.Fused");
  return count;
}

constexpr const char* kNetwork = R"(graph "g"(%x: f32[N,4]) -> (%y, %z) {
  %w = parameter f32[4,3] [1, -2, 3, -4, 5, -6, 7, -8, 9, -10, 11, -12]
  %b = parameter f32[3] [1, 0, -1]
  %h: f32[N,3] = Gemm(%x, %w, %b) @"fc1"
  %r: f32[N,3] = Relu(%h) @"act1"
  %k: f32[N,3] = Gemm(%x, %w, %b) @"fc2"
  %y: f32[N,3] = LeakyRelu(%k) @"act2"
  %e: f32[N,3] = Exp(%r)
  %f: f32[N,3] = Neg(%e)
  %z: f32[N,3] = Tanh(%f)
}
)";

TEST(ExpandRegions, GivesBackNodesNamesAndConstantsSharedBetweenRegions) {
  const Graph before = parse_graph(kNetwork);
  Graph g = before;
  run_passes(g);
  ASSERT_GE(regions_of(g), 3);
  const int regions = regions_of(g);
  EXPECT_EQ(passes::expand_regions(g), regions);
  EXPECT_EQ(violation(g), "");
  EXPECT_EQ(regions_of(g), 0);
  g = g.compacted();
  ASSERT_EQ(g.order().size(), before.order().size());
  EXPECT_EQ(g.constants().size(), 2u) << print(g);
  for (const char* name : {"x", "w", "b", "h", "r", "k", "y", "z"})
    EXPECT_NE(g.find(name), kNoValue) << name << "\n" << print(g);
  EXPECT_EQ(g.value(g.find("w")).role, Role::kParameter);
  const Tensor x = Tensor::from<float>({2, 4}, {1, -1, 0.5, 2, 0, 3, -2, 1});
  const auto want = interpret(before, std::vector<Tensor>{x});
  const auto got = interpret(g, std::vector<Tensor>{x});
  for (size_t i = 0; i < want.size(); ++i)
    for (int64_t k = 0; k < want[i].size(); ++k) EXPECT_EQ(got[i].at(k), want[i].at(k));
}

TEST(ExpandRegions, SurvivesTheTextForm) {
  Graph fused = parse_graph(kNetwork);
  run_passes(fused);
  Graph g = parse_graph(print(fused.compacted()));
  EXPECT_GT(passes::expand_regions(g), 0);
  EXPECT_EQ(g.compacted().constants().size(), 2u);
}

TEST(ExpandRegions, LeavesOtherNetworksAlone) {
  Graph g = parse_graph(kNetwork);
  const std::string before = print(g);
  EXPECT_EQ(passes::expand_regions(g), 0);
  EXPECT_EQ(print(g), before);
}

}  // namespace
}  // namespace espalier

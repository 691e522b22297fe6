// What is said of axes, against what the operators' definitions say.
#include "diagram/axes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/text.h"
#include "tests/diagram/networks.h"

namespace espalier {
namespace {

using ::testing::ElementsAre;

/// The lines of the node that makes `value`.
std::vector<std::string> lines(const char* text, const std::string& value) {
  const Graph g = parse_graph(text);
  return diagram::lines_of(diagram::box_axes(g, g.value(g.find(value)).producer));
}

TEST(BoxAxes, ContractionsKeepRowsAndColumns) {
  EXPECT_THAT(lines(testing::kSkip, "h"),
              ElementsAre("axis 4: 0.1 1.0 ->", "axis N: 0.0 -> r0.0", "axis 4: 1.1 -> r0.1"));
}

TEST(BoxAxes, BroadcastOperandsAreRepeated) {
  EXPECT_THAT(
      lines(testing::kSkip, "b"),
      ElementsAre("axis N: 0.0 -> r0.0", "axis 4: 0.1 1.0 -> r0.1", "repeat: 1 along r0.0"));
  EXPECT_THAT(lines(testing::kSkip, "s"), ElementsAre("axis N: 0.0 -> r0.0", "axis 4: 0.1 -> r0.1",
                                                      "repeat: 1 along r0.0 r0.1"));
  EXPECT_THAT(lines(testing::kSkip, "y"),
              ElementsAre("axis N: 0.0 1.0 -> r0.0", "axis 4: 0.1 1.1 -> r0.1"));
}

TEST(BoxAxes, ConvolutionMixesSpaceAndRepeatsItsBias) {
  const char* text = R"(graph "g"(%x: f32[N,2,5,5]) -> (%y) {
  %w = parameter f32[1,2,3,3] [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9]
  %b = parameter f32[1] [1]
  %y: f32[N,1,3,3] = Conv(%x, %w, %b)
}
)";
  EXPECT_THAT(lines(text, "y"),
              ElementsAre("axis N: 0.0 -> r0.0", "axis 2: 0.1 1.1 ->", "axis 1: 1.0 2.0 -> r0.1",
                          "mixed: 0.2 0.3 1.2 1.3 -> r0.2 r0.3", "repeat: 2 along r0.0"));
}

TEST(BoxAxes, NormalisedAxesAreReadWhole) {
  const char* text = R"(graph "g"(%x: f32[N,6]) -> (%y) {
  %y: f32[N,6] = Softmax(%x)
}
)";
  EXPECT_THAT(lines(text, "y"), ElementsAre("axis N: 0.0 -> r0.0", "axis whole 6: 0.1 -> r0.1"));
}

TEST(BoxAxes, TransposedAxesCross) {
  const char* text = R"(graph "g"(%x: f32[N,6,M]) -> (%y) {
  %y: f32[M,N,6] = Transpose(%x) {perm = [2, 0, 1]}
}
)";
  const auto found = lines(text, "y");
  EXPECT_THAT(found, ::testing::UnorderedElementsAre("axis M: 0.2 -> r0.0", "axis N: 0.0 -> r0.1",
                                                     "axis 6: 0.1 -> r0.2"));
}

TEST(BoxAxes, WhatDependsOnDataIsMixed) {
  const char* text = R"(graph "g"(%x: f32[N,6]) -> (%y) {
  %y: i64[2,?] = NonZero(%x)
}
)";
  EXPECT_THAT(lines(text, "y"), ElementsAre("mixed: 0.0 0.1 -> r0.0 r0.1"));
}

}  // namespace
}  // namespace espalier

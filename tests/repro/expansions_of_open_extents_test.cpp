// Expansions in graphs of open extents: they give the node's type, or say that the extents must be
// known. These lost what was known of their type, or took an open extent for a number.
#include <gtest/gtest.h>

#include "base/error.h"
#include "ir/derive.h"
#include "ir/text.h"

namespace espalier {
namespace {

Graph expanded(const std::string& text) {
  Graph g = parse_graph(text);
  expand_in_place(g, g.order().back());
  return g;
}

TEST(ExpansionsOfOpenExtents, GroupNormalizationKeepsItsType) {
  const Graph g = expanded(
      "graph \"g\"(%x: f32[N,4,3,2], %s: f32[4]) -> (%y) {\n"
      "  %y: f32[N,4,3,2] = GroupNormalization(%x, %s, %s) {num_groups = 2}\n}\n");
  EXPECT_EQ(to_string(g.value(g.outputs()[0]).type), "f32[N,4,3,2]");
}

TEST(ExpansionsOfOpenExtents, AffineGridTakesItsSizeFromTheConstant) {
  const Graph g = expanded(
      "graph \"g\"(%x: f32[N,3,4]) -> (%y) {\n"
      "  %size = constant i64[5] [1, 1, 2, 3, 2]\n"
      "  %y: f32[1,2,3,2,3] = AffineGrid(%x, %size)\n}\n");
  EXPECT_EQ(to_string(g.value(g.outputs()[0]).type), "f32[1,2,3,2,3]");
}

TEST(ExpansionsOfOpenExtents, RecurrenceAsksForKnownWeights) {
  try {
    expanded(
        "graph \"g\"(%x: f32[1,2,2], %w: f32[N,2,2], %r: f32[N,2,2]) -> (%h) {\n"
        "  %y: f32[1,2,2,2], %h: f32[2,2,2] = RNN(%x, %w, %r) {activations = s[\"Tanh\", "
        "\"Relu\"], "
        "direction = \"bidirectional\"}\n}\n");
    FAIL() << "an open number of directions was unrolled";
  } catch (const UserError& e) {
    EXPECT_EQ(e.code(), ExitCode::kUnsupported);
    EXPECT_NE(std::string(e.what()).find("weights of f32[N,2,2]"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace espalier

// The source of pictures: what it says, that it reads back, and what it says of mistakes.
#include "diagram/source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "diagram/same.h"
#include "tests/diagram/networks.h"
#include "tests/support/run_op.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::user_error;

constexpr const char* kTiny = R"(graph "tiny"(%x: f32[N,2]) -> (%y) {
  %w = parameter f32[2,3] [1, 2, 3, 4, 5, 6]
  %h: f32[N,3] = MatMul(%x, %w) @"fc"
  %y: f32[N,3] = Relu(%h)
}
)";

constexpr const char* kTinySource = R"(diagram 1
graph "tiny"(%x: f32[N,2]) -> (%y)
store %w = parameter f32[2,3] [1, 2, 3, 4, 5, 6]
column 1
  box 0: %h: f32[N,3] = MatMul(%x, %w) @"fc"
    axis 2: 0.1 1.0 ->
    axis N: 0.0 -> r0.0
    axis 3: 1.1 -> r0.1
column 2
  box 1: %y: f32[N,3] = Relu(%h)
    axis N: 0.0 -> r0.0
    axis 3: 0.1 -> r0.1
)";

/// The source of the tiny graph with one place written otherwise.
std::string with(const std::string& what, const std::string& instead) {
  std::string source = kTinySource;
  const size_t at = source.rfind(what);
  EXPECT_NE(at, std::string::npos) << what;
  return source.replace(at, what.size(), instead);
}

std::string error_of(const std::string& source) {
  return user_error([&] { diagram::parse_diagram(source, "p"); });
}

TEST(DiagramSource, SaysColumnsBoxesAndAxes) {
  EXPECT_EQ(diagram::diagram_source(parse_graph(kTiny)), kTinySource);
}

TEST(DiagramSource, ReadsBackToTheSameGraph) {
  for (const char* text : {kTiny, testing::kSkip}) {
    const Graph g = parse_graph(text);
    const std::string source = diagram::diagram_source(g);
    const Graph back = diagram::parse_diagram(source, "p");
    EXPECT_EQ(diagram::difference(g, back), "") << source;
    EXPECT_EQ(diagram::diagram_source(back), source);
  }
}

TEST(DiagramSource, KeepsTheOrderOfTheGraphAcrossColumns) {
  // %b stands in the first column although it comes after the second column's %c.
  const Graph g = parse_graph(R"(graph "g"(%x: f32[2]) -> (%d) {
  %a: f32[2] = Relu(%x)
  %c: f32[2] = Exp(%a)
  %b: f32[2] = Neg(%x)
  %d: f32[2] = Add(%c, %b)
}
)");
  const std::string source = diagram::diagram_source(g);
  EXPECT_LT(source.find("box 2"), source.find("box 1"));
  EXPECT_EQ(diagram::difference(g, diagram::parse_diagram(source, "p")), "");
}

TEST(DiagramSource, LargeConstantsAreKeptByTypeAndMark) {
  Graph g;
  Tensor big(DType::f32, {5, 5});
  big.mutable_data<float>()[7] = 3;
  g.add_output(g.add_constant("big", big, Role::kParameter));
  diagram::Constants kept;
  const std::string source = diagram::diagram_source(g, &kept);
  EXPECT_THAT(source, HasSubstr("external " + std::to_string(diagram::content_mark(big))));
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_EQ(diagram::difference(g, diagram::parse_diagram(source, "p", &kept)), "");
  const Graph zeros = diagram::parse_diagram(source, "p");
  EXPECT_EQ(diagram::difference(g, zeros), "constant 'big'");
  EXPECT_TRUE(zeros.value(zeros.outputs()[0]).constant->identical(Tensor(DType::f32, {5, 5})));
  Tensor other = big.clone();
  other.mutable_data<float>()[24] = 1e-30f;
  EXPECT_NE(diagram::content_mark(big), diagram::content_mark(other));
  kept.clear();
  EXPECT_THAT(user_error([&] { diagram::parse_diagram(source, "p", &kept); }),
              HasSubstr("that is not at hand"));
}

TEST(DiagramSource, RefusesPicturesThatContradictThemselves) {
  EXPECT_EQ(error_of(with("axis 3: 0.1 -> r0.1", "axis 3: 0.1 ->")),
            "p:12: Relu 'y': the picture says 'axis 3: 0.1 ->' of its axes, its operands and "
            "attributes say 'axis 3: 0.1 -> r0.1'");
  EXPECT_THAT(error_of(with("    axis 3: 0.1 -> r0.1\n", "")), StartsWith("p:10: Relu 'y': "));
  EXPECT_THAT(error_of(std::string(kTinySource) + "    repeat: 0 along r0.0\n"),
              StartsWith("p:13: Relu 'y': the picture says 'repeat: 0 along r0.0'"));
  EXPECT_EQ(error_of(with("column 2\n", "")), "p:9: stands in column 1, its operands put it in 2");
}

TEST(DiagramSource, ErrorsNameTheLine) {
  EXPECT_THAT(error_of(""), HasSubstr("is no diagram's source"));
  EXPECT_THAT(error_of("diagram 1\n"), HasSubstr("is no diagram's source"));
  EXPECT_THAT(error_of("graph \"g\"() -> ()"), HasSubstr("begins with 'diagram 1'"));
  EXPECT_THAT(error_of("diagram 2\n"), HasSubstr("begins with 'diagram 1'"));
  EXPECT_THAT(error_of("diagram 1\nstore %a = constant f32[] [1]"), StartsWith("p:2: expected"));
  EXPECT_THAT(error_of(with("Relu(", "Relux(")), StartsWith("p:10:25: no operator is named Relux"));
  EXPECT_THAT(error_of(with("[1, 2, 3, 4, 5, 6]", "[1]")), StartsWith("p:3:"));
  EXPECT_THAT(error_of(with("box 1", "box 0")), StartsWith("p:10: there are two boxes 0"));
  EXPECT_THAT(error_of(with("box 1", "box 2")), StartsWith("p:10: there is no box 1 before box 2"));
  EXPECT_THAT(error_of(with("box 1", "box -1")), StartsWith("p:10: '-1' is no number"));
  EXPECT_THAT(error_of(with("column 2", "column 3")), StartsWith("p:9: expected column 2"));
  EXPECT_THAT(error_of(with("column 2", "row 2")), StartsWith("p:9: expected meta"));
  EXPECT_THAT(error_of(with("store ", "store %e = constant f32[] [1] ")),
              HasSubstr("neither boxes nor stores"));
  EXPECT_THAT(error_of("diagram 1\ngraph \"g\"() -> (%a)\nstore %a = constant "
                       "f32[9000000000000] external 1\n"),
              HasSubstr("too large"));
  EXPECT_THAT(error_of("diagram 1\ngraph \"g\"() -> ()\n  axis 3: 0.1 ->\n"),
              StartsWith("p:3: stands below no box"));
}

TEST(Difference, SeesEverySingleChange) {
  const std::string text = testing::kSkip;
  const Graph g = parse_graph(text);
  const std::vector<std::pair<std::string, std::string>> changes = {
      {"\"skip\"", "\"other\""},         {"by hand", "by"},      {"f32[4] [1", "f32[4] [2"},
      {"%c = parameter", "%c = buffer"}, {"@\"fc\"", "@\"fd\""}, {"Add(%h, %c)", "Add(%c, %h)"},
      {"Add(%h, %c)", "Sub(%h, %c)"},    {"-> (%y)", "-> (%s)"}, {"%b", "%bb"},
      {"Add(%x, %s)", "Add(%x, %x)"}};
  for (const auto& [from, to] : changes) {
    std::string changed = text;
    if (from == "by hand") {
      changed.replace(changed.find("hand"), 4, "foot");
    } else {
      for (size_t at = 0; (at = changed.find(from, at)) != std::string::npos; at += to.size())
        changed.replace(at, from.size(), to);
    }
    EXPECT_NE(diagram::difference(g, parse_graph(changed)), "") << from;
  }
  EXPECT_EQ(diagram::difference(g, parse_graph(text)), "");
}

}  // namespace
}  // namespace espalier

// Graphs that are grown and mutated: valid, and the same for the same seed.
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "fuzz/mutate.h"
#include "ir/verify.h"
#include "passes/passes.h"

namespace espalier::fuzz {
namespace {

/// Rules cost milliseconds for each form: one library serves all tests.
Library& library() {
  static Library all;
  return all;
}

TEST(Growing, GivesValidGraphsOfManyOperators) {
  Generator generator(library());
  Growth growth;
  std::set<std::string> operators;
  int64_t nodes = 0, symbolic = 0, narrow = 0;
  for (uint64_t i = 0; i < 200; ++i) {
    const Case c = generator.grow({}, Rng(5, i), growth);
    ASSERT_EQ(violation(c.graph), "") << to_text(c);
    std::vector<std::string> broken;
    ASSERT_TRUE(is_fit(c, broken)) << to_text(c);
    ASSERT_FALSE(c.graph.outputs().empty()) << to_text(c);
    for (NodeId id : c.graph.order()) operators.insert(c.graph.node(id).room->full_name());
    nodes += int64_t(c.graph.order().size());
    symbolic += !c.extents.empty();
    for (ValueId v : c.graph.inputs())
      if (c.graph.value(v).tensor().dtype == DType::bf16) {
        ++narrow;
        break;
      }
  }
  EXPECT_GE(nodes, 600);
  EXPECT_GE(operators.size(), 60u);
  EXPECT_GT(symbolic, 0);
  EXPECT_GT(narrow, 0);
  EXPECT_GT(growth.joined, 0);
}

TEST(Growing, DependsOnTheSeedAlone) {
  Library other;
  Generator one(library()), two(other);
  Growth ignored;
  std::set<std::string> different;
  for (uint64_t i = 0; i < 10; ++i) {
    const std::string text = to_text(one.grow({}, Rng(11, i), ignored));
    EXPECT_EQ(text, to_text(two.grow({}, Rng(11, i), ignored)));
    different.insert(text);
  }
  EXPECT_EQ(different.size(), 10u);
}

TEST(Mutating, KeepsGraphsValidAndChangesThem) {
  Generator generator(library());
  Growth growth;
  Case c = generator.grow({}, Rng(7, 0), growth);
  const Case other = generator.grow({}, Rng(7, 1), growth);
  Dice dice(Rng(7, 2));
  int changed = 0;
  for (int i = 0; i < 60; ++i) {
    const std::string before = to_text(c);
    if (!mutate_graph(c, other, generator, {}, dice, growth)) continue;
    ASSERT_EQ(violation(c.graph), "") << to_text(c);
    changed += to_text(c) != before;
    if (c.graph.order().size() > 16) c = other;
  }
  EXPECT_GE(changed, 20);
}

TEST(Mutating, PassesStayKnownAndFew) {
  std::vector<std::string> passes = inference_pipeline();
  const std::vector<std::string> before = passes;
  Dice dice(Rng(3, 0));
  bool changed = false;
  for (int i = 0; i < 300; ++i) {
    mutate_passes(passes, dice);
    changed = changed || passes != before;
    ASSERT_FALSE(passes.empty());
    ASSERT_LE(passes.size(), 16u);
    for (const std::string& name : passes) ASSERT_NO_THROW(pass_named(name));
  }
  EXPECT_TRUE(changed);
}

TEST(Cases, ReadBackFromTheirText) {
  Generator generator(library());
  Growth ignored;
  for (uint64_t i = 0; i < 20; ++i) {
    const Case c = generator.grow({.symbolic = 1}, Rng(13, i), ignored);
    const std::string text = to_text(c, {"kernels", "a difference"});
    Note note;
    const Case back = case_from_text(text, "case.esp", &note);
    EXPECT_EQ(to_text(back, note), text);
    EXPECT_EQ(back.passes, c.passes);
    EXPECT_EQ(back.seed, c.seed);
    const auto a = inputs_of(c), b = inputs_of(back);
    ASSERT_EQ(a.size(), b.size());
    for (size_t k = 0; k < a.size(); ++k) EXPECT_TRUE(a[k].identical(b[k]));
  }
}

std::string refusal(const std::string& meta) {
  try {
    const Case c = case_from_text(
        "graph \"g\"(%x: f32[N]) -> (%y) {\n  " + meta + "\n  %y: f32[N] = Neg(%x)\n}\n",
        "case.esp");
    inputs_of(c);
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

TEST(Cases, RefuseWhatTheyDoNotKnow) {
  const auto refuses = [](const std::string& meta, const std::string& why) {
    EXPECT_NE(refusal(meta).find(why), std::string::npos) << refusal(meta);
  };
  refuses("meta \"fuzz.colour\" = \"blue\"", "is not known");
  refuses("meta \"fuzz.passes\" = \"fold_everything\"", "is not known");
  refuses("meta \"fuzz.seed\" = \"-1\"", "'-1' is not a number");
  refuses("meta \"fuzz.range.x\" = \"1\"", "is not two numbers");
  refuses("meta \"fuzz.range.x\" = \"1 0\"", "is no range");
  refuses("meta \"fuzz.extent.N\" = \"100000000\"", "out of reach");
  refuses("", "an extent 'N' that nothing gives a number for");
  EXPECT_EQ(refusal("meta \"fuzz.extent.N\" = \"3\""), "");
}

}  // namespace
}  // namespace espalier::fuzz

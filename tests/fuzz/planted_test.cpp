// Planted bugs: each shows on a network made for it, none without it, and campaigns find them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "fuzz/campaign.h"
#include "fuzz/measure.h"
#include "fuzz/planted.h"
#include "fuzz/reduce.h"
#include "ir/registry.h"
#include "passes/passes.h"

namespace espalier::fuzz {
namespace {

/// A network and passes on which a bug shows.
struct Witness {
  const char* bug;
  std::vector<std::string> passes;
  const char* text;
};

constexpr const char* kProduct = R"(graph "product"(%x: f32[2,4], %r: f32[2,3]) -> (%y) {
  meta "fuzz.range.r" = "-3 -1"
  %w = parameter f32[4,3] [0.5, -1.0, 0.25, 1.5, 0.75, -0.5, 2.0, 1.0, -1.25, 0.125, -2.0, 1.0]
  %p: f32[2,3] = MatMul(%x, %w)
  %s: f32[2,3] = Add(%p, %r)
  %y: f32[2,3] = Relu(%s)
})";

constexpr const char* kChain = R"(graph "chain"(%x: f32[2,3], %r: f32[2,3]) -> (%y) {
  %d: f32[2,3] = Sub(%x, %r)
  %y: f32[2,3] = Exp(%d)
})";

const std::vector<Witness>& witnesses() {
  static const std::vector<Witness> all = {
      {"residual_dropped", {"fuse_epilogue"}, kProduct},
      {"activation_dropped", {"fuse_epilogue"}, kProduct},
      {"difference_swapped", {"fuse_pointwise"}, kChain},
      {"long_chain_crashes", {"fuse_pointwise"}, R"(graph "four"(%x: f32[2,3]) -> (%y) {
  %a: f32[2,3] = Neg(%x)
  %b: f32[2,3] = Exp(%a)
  %c: f32[2,3] = Tanh(%b)
  %y: f32[2,3] = Abs(%c)
})"},
      {"transpose_lost", {"fold_identity"}, R"(graph "square"(%x: f32[3,3]) -> (%y) {
  %t: f32[3,3] = Transpose(%x) {perm = [1, 0]}
  %y: f32[3,3] = Neg(%t)
})"},
      {"kept_axes_lost", {"fold_identity"}, R"(graph "sum"(%x: f32[2,3]) -> (%y) {
  %axes = constant i64[1] [1]
  %s: f32[2,1] = ReduceSum(%x, %axes)
  %y: f32[2,1] = Neg(%s)
})"},
      {"last_constant_lost", {"fold_constants"}, R"(graph "folded"(%x: f32[3]) -> (%y) {
  %w = constant f32[3] [1.0, 2.0, 3.0]
  %n: f32[3] = Neg(%w)
  %y: f32[3] = Add(%x, %n)
})"},
      {"softmax_axis", {}, R"(graph "columns"(%x: f32[2,3]) -> (%y) {
  %y: f32[2,3] = Softmax(%x) {axis = 0}
})"},
      {"concat_order", {}, R"(graph "joined"(%x: f32[2,3], %r: f32[2,3]) -> (%y) {
  %y: f32[4,3] = Concat(%x, %r) {axis = 0}
})"},
      {"pads_swapped", {}, R"(graph "window"(%x: f32[1,1,4,4]) -> (%y) {
  %w = parameter f32[1,1,2,2] [1.0, -0.5, 0.25, 2.0]
  %y: f32[1,1,5,7] = Conv(%x, %w) {pads = [0, 1, 2, 3]}
})"},
      {"narrow_broadcast", {}, R"(graph "narrow"(%x: bf16[2,3]) -> (%y) {
  %w = constant bf16[3] [1.0, 2.0, 3.0]
  %s: bf16[2,3] = Add(%x, %w)
  %y: bf16[2,3] = Neg(%s)
})"},
      {"choice_swapped", {}, R"(graph "choice"(%c: bool[3], %x: f32[3], %r: f32[3]) -> (%y) {
  %y: f32[3] = Where(%c, %x, %r)
})"},
      {"bounds_ignored", {}, R"(graph "clipped"(%x: f32[2,3]) -> (%y) {
  %lo = constant f32[] [-0.01]
  %hi = constant f32[] [0.01]
  %c: f32[2,3] = Clip(%x, %lo, %hi)
  %y: f32[2,3] = Neg(%c)
})"},
      {"alpha_default", {}, R"(graph "slope"(%x: f32[8]) -> (%y) {
  %y: f32[8] = LeakyRelu(%x) {alpha = 0.5}
})"},
      {"padding_counted", {}, R"(graph "average"(%x: f32[1,1,3,3]) -> (%y) {
  %y: f32[1,1,4,4] = AveragePool(%x) {kernel_shape = [2, 2], pads = [1, 1, 1, 1]}
})"},
      {"refolded_region", {"fuse_pointwise", "fold_constants"}, kChain},
      {"epilogue_after_chain",
       {"fuse_pointwise", "fuse_epilogue"},
       R"(graph "sum"(%x: f32[2,3], %r: f32[2,3]) -> (%y) {
  %s: f32[2,3] = Add(%x, %r)
  %y: f32[2,3] = Exp(%s)
})"},
      {"moved_parameter", {"fold_parameters"}, R"(graph "moved"(%x: f32[2,3]) -> (%y) {
  %w = parameter f32[2,3] [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
  %t: f32[3,2] = Transpose(%w) {perm = [1, 0]}
  %y: f32[2,2] = MatMul(%x, %t)
})"},
      {"identity_after_chain", {"fuse_pointwise", "fold_identity"}, kChain},
      {"fused_again", {"fuse_pointwise", "fuse_pointwise"}, kChain},
  };
  return all;
}

Case case_of(const Witness& w) {
  Case c = case_from_text(w.text, w.bug);
  c.passes = w.passes;
  c.seed = 1;
  return c;
}

TEST(Planted, EachShowsOnItsNetworkAndNothingDoesWithoutIt) {
  for (const Witness& w : witnesses()) {
    SCOPED_TRACE(w.bug);
    const Case c = case_of(w);
    const Outcome clean = check(c, {}, {.onnx = true});
    EXPECT_FALSE(clean.finding) << clean.finding->oracle << ": " << clean.finding->found;
    EXPECT_EQ(clean.skipped, "");
    EXPECT_GT(clean.events.size(), 0u);
    EXPECT_TRUE(shows(planted_bug(w.bug), c));
  }
}

TEST(Planted, EveryOneHasANetwork) {
  for (const PlantedBug& bug : planted_bugs())
    EXPECT_EQ(
        std::ranges::count_if(witnesses(), [&](const Witness& w) { return bug.name == w.bug; }), 1)
        << bug.name;
}

// What needs an order is not seen in the compiler's own.
TEST(Planted, OrdersMatterWhereTheySay) {
  for (const Witness& w : witnesses()) {
    if (!planted_bug(w.bug).needs_order) continue;
    SCOPED_TRACE(w.bug);
    Case c = case_of(w);
    c.passes = inference_pipeline();
    EXPECT_FALSE(shows(planted_bug(w.bug), c));
  }
}

TEST(Planted, UnknownNamesAreRefused) {
  try {
    planted_bug("nothing");
    FAIL();
  } catch (const UserError& e) {
    EXPECT_EQ(e.code(), ExitCode::kUsage);
    EXPECT_THAT(e.hint(), ::testing::HasSubstr("residual_dropped"));
  }
}

TEST(Check, TellsFailuresFromDifferences) {
  Case c = case_from_text(kChain, "chain");
  c.passes = {"fuse_pointwise"};
  Subject refusing;
  refusing.pass = [](Graph&, const std::string&) -> int { throw bad_input("here", "no"); };
  const Outcome refused = check(c, refusing);
  ASSERT_TRUE(refused.finding);
  EXPECT_EQ(refused.finding->oracle, "pass fuse_pointwise");
  EXPECT_THAT(refused.finding->found, ::testing::HasSubstr("refused: here"));
  Subject unsure;
  unsure.pass = [](Graph&, const std::string&) -> int { throw unsupported("here", "not yet"); };
  EXPECT_FALSE(check(c, unsure).finding);
  EXPECT_THAT(check(c, unsure).skipped, ::testing::HasSubstr("not yet"));
  Subject broken;
  broken.bind = [](Graph&) { throw InternalError("an invariant"); };
  const Outcome failed = check(c, broken);
  ASSERT_TRUE(failed.finding);
  EXPECT_EQ(failed.finding->oracle, "kernels");
  EXPECT_THAT(failed.finding->found, ::testing::HasSubstr("failed: an invariant"));
  EXPECT_TRUE(finds_again(c, *failed.finding, broken, {}));
  EXPECT_FALSE(finds_again(c, *failed.finding, {}, {}));
}

// ---- reduction ----------------------------------------------------------------------------------

TEST(Reduction, KeepsWhatIsNeeded) {
  Case c = case_from_text(R"(graph "long"(%x: f32[6,4], %r: f32[6,4], %u: f32[6,4]) -> (%y, %v) {
  %a: f32[6,4] = Tanh(%x)
  %d: f32[6,4] = Sub(%a, %r)
  %e: f32[6,4] = Exp(%d)
  %t: f32[4,6] = Transpose(%e) {perm = [1, 0]}
  %y: f32[4,6] = Neg(%t)
  %v: f32[6,4] = Abs(%u)
})",
                          "long");
  c.passes = inference_pipeline();
  c.seed = 4;
  const PlantedBug& bug = planted_bug("difference_swapped");
  ASSERT_TRUE(shows(bug, c));
  const auto still = [&](const Case& smaller) { return shows(bug, smaller); };
  const Reduction r = reduced(c, still);
  EXPECT_TRUE(shows(bug, r.smallest));
  EXPECT_EQ(r.smallest.passes, std::vector<std::string>{"fuse_pointwise"});
  EXPECT_EQ(r.smallest.graph.order().size(), 2u) << to_text(r.smallest);
  EXPECT_EQ(r.smallest.graph.outputs().size(), 1u);
  for (const Shape& s : shapes_of(r.smallest)) EXPECT_EQ(s, (Shape{1, 1}));
  EXPECT_LE(r.tried, 400);
}

// ---- campaigns ----------------------------------------------------------------------------------

std::vector<const Room*> few_rooms() {
  std::vector<const Room*> rooms;
  for (const char* name :
       {"Add", "Sub", "Mul", "Exp", "Tanh", "Neg", "Relu", "MatMul", "Transpose", "Concat"})
    rooms.push_back(&room_named(name));
  return rooms;
}

CampaignOptions short_campaign(int64_t graphs) {
  CampaignOptions o;
  o.seed = 20;
  o.graphs = graphs;
  return o;
}

TEST(Campaigns, FindAndReducePlantedBugs) {
  Library library(few_rooms());
  for (const char* name : {"difference_swapped", "long_chain_crashes", "concat_order"}) {
    SCOPED_TRACE(name);
    const PlantedBug& bug = planted_bug(name);
    CampaignOptions o = short_campaign(300);
    o.subject = with_bug(bug);
    bool found = false;
    o.after = [&](const Case&, const Outcome& outcome) { found = found || outcome.finding; };
    o.stop = [&] { return found; };
    const CampaignResult r = run_campaign(library, o);
    ASSERT_FALSE(r.found.empty());
    const Found& first = r.found[0];
    EXPECT_EQ(first.finding.oracle, bug.pass.empty() ? "kernels" : "pass " + std::string(bug.pass));
    EXPECT_LE(first.reduced.graph.order().size(), 4u) << to_text(first.reduced);
    EXPECT_LE(first.reduced.passes.size(), 1u);
    EXPECT_TRUE(shows(bug, first.reduced));
    // As a file it shows the same.
    EXPECT_TRUE(shows(bug, case_from_text(to_text(first.reduced), "found")));
  }
}

TEST(Campaigns, OrdersAreFoundByMutatingPasses) {
  Library library(few_rooms());
  const PlantedBug& bug = planted_bug("refolded_region");
  for (const bool mutate_passes : {true, false}) {
    SCOPED_TRACE(mutate_passes);
    CampaignOptions o = short_campaign(mutate_passes ? 8000 : 60);
    o.mutate_passes = mutate_passes;
    o.subject = with_bug(bug);
    o.reduction = 0;
    bool found = false;
    o.after = [&](const Case&, const Outcome& outcome) {
      found = found || (outcome.finding && outcome.finding->oracle == "pass fold_constants");
    };
    o.stop = [&] { return found; };
    run_campaign(library, o);
    EXPECT_EQ(found, mutate_passes);
  }
}

// Passes and kernels give what the reference gives; none of these operators rounds to integers.
TEST(Campaigns, FindNothingInACleanCompiler) {
  Library library(few_rooms());
  const CampaignResult r = run_campaign(library, short_campaign(100));
  for (const Found& f : r.found)
    ADD_FAILURE() << f.finding.oracle << ": " << f.finding.found << "\n" << to_text(f.reduced);
  EXPECT_EQ(r.graphs, 100);
  EXPECT_LT(r.skipped, 10);
  EXPECT_GT(r.events, 20u);
  EXPECT_GT(r.pool, 5u);
}

TEST(Campaigns, AreTheSameForTheSameSeed) {
  const auto run = [](uint64_t seed) {
    Library library(few_rooms());
    CampaignOptions o = short_campaign(40);
    o.seed = seed;
    std::string cases;
    o.before = [&](const Case& c) { cases += to_text(c); };
    const CampaignResult r = run_campaign(library, o);
    return cases + std::to_string(r.events) + " " + std::to_string(r.pool);
  };
  const std::string first = run(1);
  EXPECT_EQ(first, run(1));
  EXPECT_NE(first, run(2));
}

TEST(Campaigns, KeepToThePassesTheyAreGiven) {
  Library library(few_rooms());
  CampaignOptions o = short_campaign(30);
  o.passes = {"fold_identity", "remove_dead"};
  o.before = [&](const Case& c) { EXPECT_EQ(c.passes, o.passes); };
  EXPECT_EQ(run_campaign(library, o).graphs, 30);
}

// Every bug that the compiler's own order can show is counted once, at the first case that shows
// it.
TEST(Tallies, CountPlantedBugsOnce) {
  Library library(few_rooms());
  CampaignOptions o = short_campaign(60);
  o.onnx_every = 0;
  o.reduction = 0;
  const Tally t = tally(library, o, planted_bugs());
  EXPECT_EQ(t.graphs, 60);
  EXPECT_GT(t.accepted, 60);
  EXPECT_THAT(t.found, ::testing::Contains("difference_swapped"));
  EXPECT_EQ(std::set<std::string_view>(t.found.begin(), t.found.end()).size(), t.found.size());
}

}  // namespace
}  // namespace espalier::fuzz

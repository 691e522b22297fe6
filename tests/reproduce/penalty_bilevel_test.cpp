// Far too short for a verdict, long enough that every figure is counted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/log.h"
#include "base/threads.h"
#include "reproduce/reproduce.h"
#include "tests/support/tree.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
const bool kQuiet = (set_quiet(true), true);

Reproduction reproduced(const std::string& rest) {
  return reproduce(
      Yaml::parse("espalier: 1\nreproduces: {id: 1, system: s, paper: p, claim: c, baseline: b, "
                  "bar: r}\nmeasure: penalty_bilevel\n"
                  "data: {kind: synthetic, path: glyphs, samples: 100, cache: off}\n"
                  "model: {zoo: mlp, variables: {hidden1: 4, hidden2: 4}}\n"
                  "batch: 5\nretrain_steps: 3\n" +
                      rest,
                  "r.yaml"),
      {.recipe = testing::source_dir() + "/recipes/reproduce/penalty-bilevel.yaml", .seed = 0});
}

TEST(PenaltyBilevelReproduction, RunsAndCounts) {
  const ThreadScope one_thread(1);
  const Reproduction r = reproduced(
      "trusted: 4\nunrolled: 2\nouter_steps: 3\npenalty_steps: 2\nupper_rates: [1]\nseeds: 2\n");
  EXPECT_EQ(r.found.measured["gradient_calls"], 6);
  EXPECT_EQ(r.found.measured["hessian_products"], 0);
  EXPECT_EQ(r.found.baseline["gradient_calls"], 9);
  EXPECT_EQ(r.found.baseline["hessian_products"], 6);
  EXPECT_NEAR(r.found.measured["order_of_error_in_sigma"], 1, 0.2);
  EXPECT_LE(r.found.measured["order_of_slope_in_calls"], -0.3);
}

TEST(PenaltyBilevelReproduction, WhatCannotBeIsToldBeforeAnythingIsTrained) {
  try {
    reproduced("outer_steps: 3\npenalty_steps: 2\nupper_rates: []\n");
    FAIL();
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), HasSubstr("upper_rates is empty"));
  }
}

}  // namespace
}  // namespace espalier

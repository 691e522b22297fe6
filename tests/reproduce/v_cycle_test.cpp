// V-cycle training against training from scratch: far too short for a verdict, long enough that
// every figure is counted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "base/threads.h"
#include "reproduce/reproduce.h"
#include "tests/support/error_of.h"
#include "tests/support/tree.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
const bool kQuiet = (set_quiet(true), true);

Findings run(const std::string& cycle) {
  const ThreadScope one_thread(1);
  const std::string text =
      "espalier: 1\nreproduces: {id: 1, system: s, paper: p, claim: c, baseline: b, bar: r}\n"
      "measure: v_cycle\nmodel: {zoo: char_gpt, variables: {layers: 2, width: 16, heads: 2, "
      "hidden: 32}}\ndata: {kind: synthetic, path: text, context: 8, samples: 400, val: 0.1, test: "
      "0.1, cache: off}\ntraining: {epochs: 5, epoch_steps: 6, batch: 8, optimizer: {kind: adamw}, "
      "schedule: {kind: cosine, peak: 1e-3, warmup: 1}}\nrates: [1e-3, 4e-3]\nlast_epochs: "
      "3\nseeds: 2\nv_cycle: " +
      cycle + "\n";
  return reproduce(Yaml::parse(text, "r.yaml"),
                   {.recipe = testing::source_dir() + "/recipes/reproduce/v-cycle.yaml", .seed = 0})
      .found;
}

TEST(VCycleReproduction, RunsAndCounts) {
  const Findings f = run("{first: 1, small: 2}");
  EXPECT_EQ(f.measured["seeds"], 2);
  // Four epochs of the network and two of its copy, against five, and five of as much.
  const double scratch = f.baseline["scratch_gigamacs"], cycle = f.measured["v_cycle_gigamacs"];
  EXPECT_LT(cycle, scratch);
  EXPECT_GT(cycle, 0.8 * scratch);
  EXPECT_EQ(f.baseline["equal_macs_gigamacs"], scratch);
  EXPECT_EQ(f.baseline["uninterpolated_gigamacs"], cycle);
  EXPECT_EQ(f.baseline["equal_macs_val_loss"], f.baseline["scratch_val_loss"]);
  EXPECT_NE(f.baseline["uninterpolated_val_loss"], f.measured["v_cycle_val_loss"]);
  EXPECT_EQ(f.measured["v_cycle_rate_at_edge"], true);
  EXPECT_TRUE(f.measured.contains("v_cycle_macs_to_loss"));
  EXPECT_NEAR(f.measured["below_equal_macs"].get<double>(),
              f.baseline["equal_macs_val_loss"].get<double>() -
                  f.measured["v_cycle_val_loss"].get<double>(),
              1e-9);
}

TEST(VCycleReproduction, WrongRecipesAreRefused) {
  EXPECT_THAT(testing::error_of([] { run("{first: 1, small: 2, alpha: 1}"); }),
              HasSubstr("interpolates nothing"));
  EXPECT_THAT(testing::error_of([] { run("{first: 1}"); }), HasSubstr("small"));
}

}  // namespace
}  // namespace espalier

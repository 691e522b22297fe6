// Modes of normalisations compared: far too short for a verdict, long enough that every figure is
// counted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"
#include "base/log.h"
#include "base/threads.h"
#include "reproduce/reproduce.h"
#include "tests/support/tree.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
const bool kQuiet = (set_quiet(true), true);

Reproduction reproduced(const std::string& rates) {
  const std::string stage =
      "{data: {kind: synthetic, path: glyphs, resize: 8, samples: 200, cache: off}, training: "
      "{epochs: 1, epoch_steps: 3, batch: 16, optimizer: {kind: sgd}, schedule: {kind: constant, "
      "peak: 1e-2}}}";
  return reproduce(
      Yaml::parse("espalier: 1\nreproduces: {id: 1, system: s, paper: p, claim: c, baseline: b, "
                  "bar: r}\nmeasure: norm_modes\nname: n\nmodel: {zoo: resnet8}\nfirst: " +
                      stage + "\nthen: " + stage + "\nrates: " + rates + "\nseeds: 2\nrounds: 2\n",
                  "r.yaml"),
      {.recipe = testing::source_dir() + "/recipes/reproduce/convbn-tune.yaml", .seed = 0});
}

TEST(NormModes, ReproductionRunsAndCounts) {
  const ThreadScope one_thread(1);
  const Findings f = reproduced("[1e-3, 1e-2]").found;
  const auto &m = f.measured, &b = f.baseline;
  EXPECT_EQ(m["seeds"], 2);
  EXPECT_LT(m["gradient_error"], 1e-4);
  EXPECT_GT(m["gradient_error"], 0);
  EXPECT_LT(m["tune_arena_bytes"], b["eval_arena_bytes"]);
  EXPECT_EQ(m["tune_rate"], b["eval_rate"]);
  EXPECT_GT(b["deploy_step_ms"], 0);
  EXPECT_EQ(b["deploy_rates_diverged"], 0);
  EXPECT_GT(b["train_arena_bytes"], m["tune_arena_bytes"]);
}

TEST(NormModes, RatesMustRise) {
  try {
    reproduced("[1e-2, 1e-3]");
    FAIL() << "nothing was thrown";
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), HasSubstr("is no rising list of rates"));
  }
}

}  // namespace
}  // namespace espalier

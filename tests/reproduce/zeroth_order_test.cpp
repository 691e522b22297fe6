// DeepZero's reproduction, far too short for a verdict: every figure is counted from what ran.
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

std::string recipe(const std::string& rule) {
  return "espalier: 1\nreproduces: {id: 1, system: s, paper: p, claim: c, baseline: b, bar: r}\n"
         "measure: zeroth_order\nmodel: {zoo: tiny_digits}\n"
         "data: {kind: synthetic, path: glyphs, resize: 14, samples: 120, cache: off}\n"
         "training: {epochs: 1, epoch_steps: 2, batch: 8, schedule: {kind: constant, peak: 1}, "
         "rule: " +
         rule +
         "}\nrates: [1e-3, 1e-2]\nrandom: {kind: spsa, two_sided: false}\ndensities: "
         "[0.005]\ndirections: [4, 16]\n"
         "seeds: 2\nrounds: 3\n";
}

Reproduction reproduced(const std::string& rule) {
  return reproduce(Yaml::parse(recipe(rule), "r.yaml"),
                   {.recipe = testing::source_dir() + "/recipes/reproduce/deepzero.yaml"});
}

TEST(ZerothOrderReproduction, RunsAndCounts) {
  const ThreadScope one_thread(1);
  const Reproduction r = reproduced("{kind: coordinatewise, density: 0.01, score_directions: 4}");
  const auto& m = r.found.measured;
  const auto& b = r.found.baseline;
  EXPECT_EQ(m["seeds"], 2);
  EXPECT_EQ(m["reuse_identical"], true);
  EXPECT_GT(m["reuse_speedup"], 0);
  EXPECT_GT(m["queries"], 2 * 40);
  // Random directions get at least as many losses, whole steps of them.
  for (const char* name : {"spsa_4_", "spsa_16_"}) {
    const std::string prefix = name;
    EXPECT_GE(b[prefix + "queries"], m["queries"]);
    // As many as fill the last step, and a step for each epoch but one.
    const int64_t of_step = prefix == "spsa_4_" ? 5 : 17;
    EXPECT_LE(b[prefix + "queries"].get<int64_t>(),
              m["queries"].get<int64_t>() + of_step * b[prefix + "epochs"].get<int64_t>());
  }
  EXPECT_TRUE(b.contains("backprop_accuracy"));
  std::string error;
  try {
    reproduced("spsa");
  } catch (const UserError& e) {
    error = e.what();
  }
  EXPECT_THAT(error, HasSubstr("the rule must be coordinatewise"));
}

}  // namespace
}  // namespace espalier

// Incubation against training end to end: far too short for a verdict, long enough that every
// figure is counted.
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

Findings run(const std::string& incubation, const std::string& rates = "[1e-3, 4e-3]") {
  const ThreadScope one_thread(1);
  const std::string text =
      "espalier: 1\nreproduces: {id: 1, system: s, paper: p, claim: c, baseline: b, bar: r}\n"
      "measure: incubation\nmodel: {zoo: vit_tiny, variables: {layers: 6, size: 32, patch: 8, "
      "width: 16, heads: 2, hidden: 32}}\ndata: {kind: synthetic, path: glyphs, samples: 200, "
      "cache: off}\ntraining: {epochs: 2, epoch_steps: 4, batch: 32, optimizer: {kind: adamw}, "
      "schedule: {kind: cosine, peak: 1e-3, warmup: 1}" +
      incubation + "}\nrates: " + rates + "\nseeds: 2\n";
  return reproduce(Yaml::parse(text, "r.yaml"),
                   {.recipe = testing::source_dir() + "/recipes/reproduce/deep-incubation.yaml",
                    .seed = 0})
      .found;
}

TEST(IncubationReproduction, RunsAndCounts) {
  const Findings f = run(", incubation: {meta_epochs: 2, module_epochs: 1, modules: 2}");
  EXPECT_EQ(f.measured["seeds"], 2);
  // All others have as many multiply-accumulates or a little more.
  const double macs = f.measured["incubated_gigamacs"];
  for (const char* name : {"end_to_end", "greedy", "alone"}) {
    const double own = f.baseline[std::string(name) + "_gigamacs"];
    EXPECT_GE(own, macs) << name;
    EXPECT_LT(own, 1.5 * macs) << name;
    EXPECT_TRUE(f.baseline[std::string(name) + "_rate_at_edge"]) << name;
  }
  EXPECT_EQ(f.measured["incubated_module_epochs"], 1);
  EXPECT_GE(f.baseline["alone_module_epochs"], 2);
  EXPECT_LT(f.measured["incubated_job_bytes"], f.baseline["end_to_end_bytes"]);
  EXPECT_NEAR(f.measured["above_end_to_end"].get<double>(),
              f.measured["incubated_accuracy"].get<double>() -
                  f.baseline["end_to_end_accuracy"].get<double>(),
              1e-9);
  EXPECT_TRUE(f.measured.contains("incubated_accuracy_put_together"));
}

TEST(IncubationReproduction, WrongRecipesAreRefused) {
  EXPECT_THAT(testing::error_of([] { run(""); }), HasSubstr("has no incubation"));
  EXPECT_THAT(testing::error_of([] { run(", incubation: {around: below, module_epochs: 1}"); }),
              HasSubstr("around: meta"));
  EXPECT_THAT(testing::error_of([] {
                run(", incubation: {meta_epochs: 1, module_epochs: 1, modules: 2}", "[2, 1]");
              }),
              HasSubstr("rates must rise"));
}

}  // namespace
}  // namespace espalier

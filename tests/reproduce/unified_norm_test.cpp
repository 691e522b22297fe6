// Unified normalisation against layer and batch normalisation: far too short for a verdict, long
// enough that every figure is counted.
#include <gtest/gtest.h>

#include "base/log.h"
#include "base/threads.h"
#include "reproduce/reproduce.h"
#include "tests/support/tree.h"

namespace espalier {
namespace {

const bool kQuiet = (set_quiet(true), true);

TEST(UnifiedNorm, ReproductionRunsAndCounts) {
  const ThreadScope one_thread(1);
  const std::string training =
      "training: {epochs: 1, epoch_steps: 6, batch: 8, optimizer: {kind: adamw}, schedule: {kind: "
      "constant, peak: 1e-3}}";
  const std::string text =
      "espalier: 1\nreproduces: {id: 1, system: s, paper: p, claim: c, baseline: b, bar: r}\n"
      "measure: unified_norm\ntasks:\n"
      "- {name: t, model: {zoo: char_gpt, variables: {layers: 1, width: 16, heads: 2, hidden: 32, "
      "norm_warmup: 2}}, data: {kind: synthetic, path: text, context: 8, samples: 400, cache: "
      "off}, " +
      training + ", batch: 2}\nrates: [1e-3]\nseeds: 2\nrounds: 2\n";
  const Findings f =
      reproduce(
          Yaml::parse(text, "r.yaml"),
          {.recipe = testing::source_dir() + "/recipes/reproduce/unified-norm.yaml", .seed = 0})
          .found;
  EXPECT_EQ(f.measured["seeds"], 2);
  EXPECT_GT(f.measured["t_unified_loss"], 0);
  EXPECT_GT(f.baseline["t_batch_loss"], 0);
  EXPECT_NE(f.baseline["t_batch_loss"], f.baseline["t_layer_loss"]);
  EXPECT_NE(f.measured["t_unified_loss"], f.baseline["t_layer_loss"]);
  EXPECT_GT(f.measured["t_speedup_over_layer"], 0);
  EXPECT_GE(f.measured["t_steps_filtered"], 0);
  EXPECT_LE(f.measured["t_steps_filtered"], 4);
}

}  // namespace
}  // namespace espalier

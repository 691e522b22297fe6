// Far too short for a verdict, long enough that every figure is counted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/log.h"
#include "base/threads.h"
#include "reproduce/reproduce.h"
#include "tests/support/error_of.h"
#include "tests/support/tree.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
const bool kQuiet = (set_quiet(true), true);

Reproduction reproduced(const std::string& rhos) {
  return reproduce(
      Yaml::parse(
          "espalier: 1\nreproduces: {id: 1, system: s, paper: p, claim: c, baseline: b, bar: r}\n"
          "measure: temperature_network\nseeds: 2\n"
          "language:\n"
          "  model: {zoo: char_gpt, variables: {layers: 1, width: 8, heads: 2, hidden: 16}}\n"
          "  data: {kind: synthetic, path: text, context: 8, samples: 64, cache: off}\n"
          "  training: {epochs: 1, epoch_steps: 3, batch: 4, optimizer: {kind: adamw}}\n"
          "  adapt: {kind: temperature, width: 4, least: 0.5}\n"
          "  then: {epochs: 1, epoch_steps: 2}\n"
          "  rhos: [1, 2, 3]\n  joint_rhos: [2]\n"
          "contrastive:\n"
          "  model: {zoo: tiny_digits, variables: {classes: 4}}\n"
          "  data: {kind: synthetic, path: glyphs, resize: 14, samples: 60, cache: off}\n"
          "  training: {epochs: 1, epoch_steps: 2, batch: 8, augment: shift=1}\n"
          "  prototypes: 4\n  temperatures: [0.1, 0.2]\n  rhos: " +
              rhos,
          "r.yaml"),
      {.recipe = testing::source_dir() + "/recipes/reproduce/tempnet.yaml", .seed = 0});
}

TEST(TemperatureNetworkReproduction, RunsAndCounts) {
  const ThreadScope one_thread(1);
  const Findings f = reproduced("[0.5, 1]").found;
  // The temperature is the best of all of the validation split, not of the test split.
  EXPECT_GT(f.baseline["best_temperature"], 0);
  EXPECT_NEAR(f.measured["loss_below_fixed"],
              double(f.baseline["test_loss"]) - double(f.measured["test_loss"]), 1e-9);
  EXPECT_EQ(f.measured["rho_at_edge"], f.measured["rho"] != 2);
  EXPECT_EQ(f.measured["joint_rho_at_edge"], false);
  for (const char* key : {"recall_at_1", "recall_at_5", "same_class"}) {
    EXPECT_GE(f.measured[key], 0) << key;
    EXPECT_LE(f.measured[key], 100) << key;
  }
  EXPECT_NEAR(f.measured["recall_above_fixed"],
              double(f.measured["recall_at_1"]) - double(f.baseline["fixed_recall_at_1"]), 1e-9);
  EXPECT_TRUE(f.baseline.contains("learned_temperature"));
}

TEST(TemperatureNetworkReproduction, WhatCannotBeIsToldBeforeAnythingIsTrained) {
  const auto wrong = [](const std::string& rhos) {
    return testing::error_of([&] { reproduced(rhos); });
  };
  EXPECT_THAT(wrong("[1]"), HasSubstr("each way chooses from as many"));
  EXPECT_THAT(wrong("[2, 1]"), HasSubstr("the numbers must rise"));
}

}  // namespace
}  // namespace espalier

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

using testing::error_of;
using ::testing::HasSubstr;
const bool kQuiet = (set_quiet(true), true);

Reproduction reproduced(const std::string& data, const std::string& rest) {
  return reproduce(
      Yaml::parse("espalier: 1\nreproduces: {id: 1, system: s, paper: p, claim: c, baseline: b, "
                  "bar: r}\nmeasure: reversible_unet\n"
                  "data: {kind: synthetic, path: " +
                      data +
                      ", cache: off}\n"
                      "model: {zoo: reversible_unet3d, variables: {blocks: 1, width1: 4, width2: "
                      "4, width3: 4, hidden1: 8, hidden2: 8, hidden3: 8}}\n"
                      "training: {epochs: 2, batch: 2, optimizer: {kind: adamw}}\n"
                      "deeper: {blocks: 2}\nrounds: 1\nseeds: 2\n" +
                      rest,
                  "r.yaml"),
      {.recipe = testing::source_dir() + "/recipes/reproduce/reversible-unet3d.yaml", .seed = 0});
}

TEST(ReversibleUNetReproduction, RunsAndCounts) {
  const ThreadScope one_thread(1);
  const Reproduction r = reproduced("phantoms, samples: 10, size: 8",
                                    "rates: [1e-3]\ngrowing: {blocks: [{blocks: 1}, {blocks: 2}, "
                                    "{blocks: 40}]}\n");
  const auto& m = r.found.measured;
  const auto& b = r.found.baseline;
  EXPECT_LT(m["gradient_error_of_all"], 1e-4);
  EXPECT_GT(m["gradient_error"], m["gradient_error_of_all"]);
  EXPECT_LT(m["gradient_error_of_all_trained"], 1e-4);
  EXPECT_GT(m["arena_ratio"], 1.2);
  EXPECT_GT(m["macs_of_storing"], 1.1);
  EXPECT_LT(m["macs_of_storing"], 4.0 / 3);
  EXPECT_GT(b["deeper_storing_planned_bytes"], b["storing_planned_bytes"]);
  EXPECT_EQ(b["largest_blocks_in_cap"], "blocks 1");
  EXPECT_EQ(m["largest_blocks_in_cap"], "blocks 2");
  EXPECT_EQ(m["rate_at_edge"], false);
  EXPECT_GT(b["storing_dice"], 0);
}

TEST(ReversibleUNetReproduction, WhatCannotBeIsToldBeforeAnythingIsTrained) {
  EXPECT_THAT(
      error_of([] { reproduced("phantoms, samples: 10, size: 8", "rates: []\ngrowing: {}\n"); }),
      HasSubstr("rates is empty"));
  EXPECT_THAT(error_of([] { reproduced("glyphs, samples: 20", "rates: [1e-3]\ngrowing: {}\n"); }),
              HasSubstr("has no label for each place | synthetic:phantoms has"));
}

}  // namespace
}  // namespace espalier

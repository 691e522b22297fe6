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
                  "bar: r}\nmeasure: test_time_adaptation\n" +
                      rest,
                  "r.yaml"),
      {.recipe = testing::source_dir() + "/recipes/reproduce/deyo.yaml", .seed = 0});
}

constexpr const char* kShort =
    "data: {kind: synthetic, path: glyphs, samples: 160, cache: off}\n"
    "training: {epochs: 1, epoch_steps: 4, batch: 8, optimizer: {kind: adamw}, schedule: {kind: "
    "constant, peak: 3e-3}}\n"
    "samples: 24\ndamages: [{kind: noise, severity: 0.1}, {kind: blur, severity: 1}]\n"
    "rates: [1e-3, 1e-2]\nseeds: 2\n";

TEST(TestTimeAdaptation, RunsAndCounts) {
  const ThreadScope one_thread(1);
  const Reproduction r = reproduced(std::string(kShort) +
                                    "networks: [{name: gn, model: {zoo: small_digits_gn}, "
                                    "batches: [5]}]\ndeyo: {most_entropy: 1, least_drop: -1}\n");
  const auto& m = r.found.measured;
  EXPECT_EQ(m["seeds"], 2);
  EXPECT_EQ(m["samples"], 24);
  EXPECT_NEAR(m["gn_batch_5_learned_from_percent"], 100, 1e-9);
  EXPECT_NEAR(m["gn_batch_5_backward_per_answer"], 25.0 / 24, 1e-9);
  for (const char* name : {"none", "tent", "eata"}) {
    const double other = r.found.baseline[std::string("gn_batch_5_accuracy_") + name];
    EXPECT_NEAR(double(m["gn_batch_5_accuracy"]) - other,
                m[std::string("gn_batch_5_gain_over_") + name], 1e-9);
  }
}

TEST(TestTimeAdaptation, WhatCannotBeIsToldBeforeAnythingIsTrained) {
  const auto error = [](const std::string& rest) {
    try {
      reproduced(std::string(kShort) + rest);
    } catch (const UserError& e) {
      return std::string(e.what());
    }
    return std::string("nothing was thrown");
  };
  EXPECT_THAT(error("networks: [{name: gn, model: {zoo: small_digits_gn}, batches: [0]}]\n"),
              HasSubstr("a batch needs a sample"));
  EXPECT_THAT(error("networks: [{name: gn, model: {zoo: small_digits_gn}, batches: [1]}]\n"
                    "deyo: {least_dorp: 1}\n"),
              HasSubstr("least_dorp"));
  EXPECT_THAT(error("networks: []\n"), HasSubstr("must not be empty"));
}

}  // namespace
}  // namespace espalier

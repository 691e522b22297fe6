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
                  "bar: r}\nmeasure: lifelong\n" +
                      rest,
                  "r.yaml"),
      {.recipe = testing::source_dir() + "/recipes/reproduce/lifelong.yaml", .seed = 0});
}

constexpr const char* kShort =
    "data: {kind: synthetic, path: glyphs, samples: 200, cache: off}\n"
    "model: {zoo: mlp, variables: {hidden1: 6, hidden2: 4}}\n"
    "training: {epochs: 2, epoch_steps: 2, batch: 4, optimizer: {kind: sgd, weight_decay: 0}, "
    "schedule: {kind: constant, peak: 0.01}}\n"
    "rates: [0.01]\newc_strengths: [10]\nfisher_samples: 3\nseeds: 2\n";

TEST(LifelongReproduction, RunsAndCounts) {
  const ThreadScope one_thread(1);
  const Reproduction r =
      reproduced(std::string(kShort) +
                 "policy: {old: frozen, forward: 0.5}\nsequences: [{name: a, kind: split, tasks: "
                 "2}, {name: b, kind: permuted, tasks: 2}]\n");
  const auto& m = r.found.measured;
  for (const char* k : {"a_", "b_"}) {
    const std::string name = k;
    EXPECT_EQ(m[name + "backward_transfer"], 0);
    EXPECT_EQ(m[name + "forgetting"], 0);
    EXPECT_EQ(m[name + "parameters"], r.found.baseline[name + "parameters"]);
    EXPECT_NEAR(double(m[name + "accuracy"]) - double(r.found.baseline[name + "accuracy_ewc"]),
                m[name + "gain_over_ewc"], 1e-9);
    EXPECT_THAT(std::string(m[name + "matrix"]), HasSubstr(" / "));
  }
}

TEST(LifelongReproduction, WhatCannotBeIsToldBeforeAnythingIsTrained) {
  const auto error = [](const std::string& rest) {
    try {
      reproduced(std::string(kShort) + rest);
    } catch (const UserError& e) {
      return std::string(e.what());
    }
    return std::string("nothing was thrown");
  };
  EXPECT_THAT(error("policy: {old: -1}\nsequences: []\n"), HasSubstr("a strength of 0 or more"));
  EXPECT_THAT(error("policy: {}\nsequences: [{name: a, kind: split, tasks: 3}]\n"),
              HasSubstr("20 classes cannot be divided into 3 tasks"));
}

}  // namespace
}  // namespace espalier

// tpSGD's reproduction, far too short for a verdict: every figure is counted from what ran.
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

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const UserError& e) {
    return e.what();
  }
  return "nothing was thrown";
}

Reproduction reproduced(const std::string& contenders) {
  const std::string text =
      "espalier: 1\nreproduces: {id: 1, system: s, paper: p, claim: c, baseline: b, bar: r}\n"
      "measure: local_learning\n"
      "data: {kind: synthetic, path: glyphs, resize: 14, samples: 120, cache: off}\n"
      "training: {epochs: 1, epoch_steps: 2, batch: 8, schedule: {kind: constant, peak: 1}}\n"
      "tasks:\n- {name: cnn, model: {zoo: tiny_digits}}\n"
      "- {name: rnn, model: {zoo: row_rnn, variables: {hidden: 6}}}\ncontenders:\n" +
      contenders + "rates: [1e-3, 1e-2]\nseeds: 2\n";
  return reproduce(Yaml::parse(text, "r.yaml"),
                   {.recipe = testing::source_dir() + "/recipes/reproduce/tpsgd.yaml"});
}

TEST(LocalLearning, RunsAndCounts) {
  const ThreadScope one_thread(1);
  const Reproduction r = reproduced(
      "- {name: backprop, rules: [backprop]}\n- {name: dfa, rules: [dfa]}\n"
      "- {name: tpsgd, rules: [tpsgd, {kind: tpsgd, scale: 0.1}]}\n");
  const auto& m = r.found.measured;
  const auto& b = r.found.baseline;
  EXPECT_EQ(m["seeds"], 2);
  for (const std::string task : {"cnn_", "rnn_"}) {
    EXPECT_GT(m[task + "arena_bytes"], 0);
    EXPECT_DOUBLE_EQ(
        m[task + "points_lost"].get<double>(),
        b[task + "backprop_accuracy"].get<double>() - m[task + "accuracy"].get<double>());
    EXPECT_TRUE(m.contains(task + "points_over_dfa"));
    // Fixed matrices are counted.
    EXPECT_GT(m[task + "constant_bytes"], b[task + "backprop_constant_bytes"]);
  }
  EXPECT_THAT(error_of([] { reproduced("- {name: tpsgd, rules: [tpsgd]}\n"); }),
              HasSubstr("compares with 'backprop'"));
}

const std::string kThree =
    "- {name: backprop, rules: [backprop]}\n- {name: dfa, rules: [dfa]}\n"
    "- {name: tpsgd, rules: [tpsgd]}\n";

TEST(LocalLearning, NetworksOfTheirOwnStandBeside) {
  const ThreadScope one_thread(1);
  const std::string network = "{zoo: forward_mlp, variables: {channels: 3, classes: 20}}";
  const Reproduction r = reproduced(
      kThree + "- {name: ff, rules: [forward_forward], models: {cnn: " + network + "}}\n");
  const auto& m = r.found.measured;
  EXPECT_GT(m["cnn_ff_arena_bytes"], 0);
  EXPECT_GT(m["cnn_ff_memory_of_backprop"], 0);
  EXPECT_FALSE(m.contains("rnn_ff_accuracy"));
  EXPECT_FALSE(m.contains("cnn_points_over_ff"));
  const Reproduction without = reproduced(kThree);
  EXPECT_EQ(r.found.holds, without.found.holds);
  EXPECT_EQ(r.found.baseline, without.found.baseline);
  EXPECT_THAT(error_of([&] {
                reproduced(kThree + "- {name: ff, rules: [dfa], models: {mlp: " + network + "}}\n");
              }),
              HasSubstr("'mlp', which is no task"));
}

}  // namespace
}  // namespace espalier

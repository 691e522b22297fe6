// The reproduction of training in 256 KB, far too short for a verdict: that every figure is counted
// from what ran.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/log.h"
#include "base/threads.h"
#include "reproduce/reproduce.h"
#include "tests/c_export/emulator.h"
#include "tests/support/tree.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
const bool kQuiet = (set_quiet(true), true);

std::string recipe(const std::string& arena, const std::string& network = "small_digits") {
  const std::string data = "{kind: synthetic, path: glyphs, samples: 200, cache: off}";
  const auto training = [](const std::string& optimizer, const char* batch) {
    return "{epochs: 1, epoch_steps: 10, batch: " + std::string(batch) +
           ", optimizer: " + optimizer + ", schedule: {kind: constant, peak: 3e-2}}";
  };
  return "espalier: 1\nreproduces: {id: 1, system: s, paper: p, claim: c, baseline: b, bar: r}\n"
         "measure: tiny_training\nname: n\nmodel: {zoo: " +
         network + "}\nfirst: {data: " + data + ", training: " + training("{kind: adamw}", "16") +
         "}\nthen: {data: " + data +
         ", training: " + training("{kind: sgd, momentum: 0, weight_decay: 0}", "4") +
         ", turned_by: 90}\narena_bytes: " + arena +
         "\ncalibration_samples: 32\nweigh_steps: 5\nrates: [1e-2]\nunscaled_rates: "
         "[1]\nwhole_rates: [1e-2]\n"
         "whole_optimizer: {kind: sgd, momentum: 0.9, weight_decay: 0}\nseeds: 2\n";
}

Reproduction run(const std::string& text) {
  return reproduce(
      Yaml::parse(text, "r.yaml"),
      {.recipe = testing::source_dir() + "/recipes/reproduce/tiny-training.yaml", .seed = 0});
}

TEST(TinyTraining, RunsInTheArenaThatTheExporterStates) {
  const ThreadScope one_thread(1);
  const Findings f = run(recipe("200000")).found;
  EXPECT_EQ(f.measured["arena_bytes"], f.measured["touched_bytes"]);
  EXPECT_LE(f.measured["arena_bytes"], 200000);
  EXPECT_LT(f.measured["state_bytes"], f.measured["arena_bytes"]);
  EXPECT_GT(f.baseline["arena_bytes"], f.measured["arena_bytes"]);
  EXPECT_THAT(std::string(f.measured["layers"]), HasSubstr("fc.weight"));
  EXPECT_LE(f.measured["trained"], f.baseline["trained"]);
  EXPECT_EQ(f.measured["seeds"], 2);
}

TEST(TinyTraining, LearnsTheSameOnADevice) {
  ESP_SKIP_WITHOUT_EMULATOR();
  const ThreadScope one_thread(1);
  const Findings f =
      run(recipe("240000", "ds_digits") + "emulate: {device: cortex-m4, steps: 6}\n").found;
  EXPECT_EQ(f.measured["device_steps"], 6);
  EXPECT_EQ(f.measured["device_touched_bytes"], f.measured["arena_bytes"]);
  EXPECT_LE(f.measured["device_ram_bytes"], 262144);
  EXPECT_LE(f.measured["device_difference"], 1e-3);
  EXPECT_GT(f.measured["device_million_instructions_per_step"], 1);
}

TEST(TinyTraining, AnArenaThatFitsNothingIsAnError) {
  const ThreadScope one_thread(1);
  try {
    run(recipe("1000"));
    FAIL();
  } catch (const UserError& e) {
    EXPECT_EQ(e.code(), ExitCode::kInfeasible);
    EXPECT_THAT(e.what(), HasSubstr("does not fit into 1000 bytes"));
  }
}

}  // namespace
}  // namespace espalier

// Reproductions of hypernetworks: far too short for a verdict, long enough that every figure is
// counted.
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

constexpr const char* kHead =
    "espalier: 1\nreproduces: {id: 1, system: s, paper: p, claim: c, baseline: b, bar: r}\n";

Reproduction reproduced(const std::string& rest) {
  const ThreadScope one_thread(1);
  return reproduce(Yaml::parse(kHead + rest, "r.yaml"),
                   {.recipe = testing::source_dir() + "/recipes/reproduce/mip.yaml", .seed = 0});
}

std::string error_of(const std::string& rest) {
  try {
    reproduced(rest);
  } catch (const UserError& e) {
    return std::string(e.what()) + " | " + e.hint();
  }
  return "nothing was thrown";
}

constexpr const char* kModel = "model: {zoo: mlp, variables: {hidden1: 6, hidden2: 5";
constexpr const char* kData =
    "data: {kind: synthetic, path: glyphs, resize: 8, samples: 240, cache: off}";
constexpr const char* kTraining =
    "training: {epochs: 2, epoch_steps: 4, batch: 16, optimizer: {kind: adamw}, schedule: {kind: "
    "constant}}";

std::string mip(const std::string& generator) {
  return std::string("measure: magnitude_invariance\n") + kModel + "}}\n" + kData + "\n" +
         kTraining + "\nturn: [0, 90]\nconditions: 2\ngenerator: " + generator +
         "\nrates: [1e-3]\nseeds: 2\n";
}

TEST(Hypernetworks, ParametrisationsAreComparedAndCounted) {
  const Reproduction r = reproduced(mip("{kind: mlp, layers: 1, width: 8}"));
  const auto &m = r.found.measured, &b = r.found.baseline;
  EXPECT_NEAR(b["weights_grow_by"], 10, 0.01);
  EXPECT_LT(m["weights_grow_by"], 2);
  EXPECT_GT(m["learned"], m["encoded_learned"]);
  EXPECT_GT(m["val_loss"], 0);
  EXPECT_GT(m["gradient_norm_spread"], 0);
  EXPECT_LE(b["steps_to_baseline_loss"], 8);
  EXPECT_THAT(error_of(mip("{kind: mlp, residual: true}")), HasSubstr("so none is given"));
}

}  // namespace
}  // namespace espalier

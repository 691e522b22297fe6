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
    "data: {kind: synthetic, path: glyphs, resize: 8, samples: 600, val: 0.3, cache: off}";
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

std::string continual(const std::string& stream, const std::string& recurrent) {
  return std::string("measure: continual_hypernetworks\nstreams:\n- {name: s, tasks: 2, ") +
         stream + kModel + "}}, " + kData + ", " + kTraining + "}\nrecurrent: " + recurrent +
         "\nchunked: {kind: chunked, chunk: 64, embedding: 2}\ngrowth: 2\ndrifts: [0.1]\n"
         "rates: [1e-3]\nseeds: 2\n";
}

TEST(Hypernetworks, StreamsOfTasksAreLearnedAndCounted) {
  const std::string recurrent = "{kind: recurrent, chunk: 64, width: 4}";
  const Reproduction r = reproduced(continual("classes_each: 3, ", recurrent));
  const auto &m = r.found.measured, &b = r.found.baseline;
  EXPECT_LE(m["s_learned"], b["s_learned"]);
  for (const char* key : {"s_accuracy", "s_accuracy_when_learned"}) {
    EXPECT_GT(m[key], 0);
    EXPECT_GT(b[key], 0);
  }
  EXPECT_NEAR(m["s_forgetting"].get<double>(),
              m["s_accuracy_when_learned"].get<double>() - m["s_accuracy"].get<double>(), 1e-6);
  EXPECT_GT(b["s_fine_tuning_accuracy"], 0);
  EXPECT_NEAR(m["s_points_over_chunked"].get<double>(),
              m["s_accuracy"].get<double>() - b["s_accuracy"].get<double>(), 1e-6);
  EXPECT_THAT(error_of(continual("classes_each: 11, ", recurrent)), HasSubstr("2 tasks of 11"));
  EXPECT_THAT(error_of(continual("", "{kind: mlp}")), HasSubstr("kind must be 'recurrent'"));
}

}  // namespace
}  // namespace espalier

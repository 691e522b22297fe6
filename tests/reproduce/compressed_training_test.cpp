// Far too short for a verdict, long enough that every figure is counted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/log.h"
#include "reproduce/reproduce.h"
#include "tests/support/tree.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;

/// A cache of the test's own, and silence.
class CompressedTraining : public ::testing::Test {
 protected:
  CompressedTraining() {
    ::setenv("ESPALIER_CACHE", cache_.c_str(), 1);
    set_quiet(true);
  }
  ~CompressedTraining() override { std::filesystem::remove_all(cache_); }

  Reproduction run(const std::string& rest) const {
    return reproduce(
        Yaml::parse(
            "espalier: 1\n"
            "reproduces: {id: 1, system: s, paper: p, claim: c, baseline: b, bar: r}\n"
            "measure: compressed_training\n"
            "model: {zoo: char_gpt, variables: {layers: 1, width: 32, heads: 2, hidden: 64}}\n"
            "data: {kind: synthetic, path: text, context: 16, samples: 400}\n"
            "training: {epochs: 1, epoch_steps: 6, batch: 8, schedule: {warmup: 0.5}}\n"
            "seeds: 2\n"
            "contenders:\n"
            "  - {name: uncompressed, optimizer: {kind: adamw}, rates: [4e-3]}\n" +
                rest,
            "r.yaml"),
        {.recipe = testing::source_dir() + "/recipes/reproduce/coat.yaml", .seed = 4});
  }
  std::filesystem::path cache_ =
      std::filesystem::temp_directory_path() / ("espalier_coat_" + std::to_string(::getpid()));
};

constexpr const char* kOthers =
    "  - {name: coat, optimizer: {kind: adamw, states: fp8}, saved_activations: fp8, rates: "
    "[4e-3]}\n"
    "  - {name: naive, optimizer: {kind: adamw, states: {expand: false}}, rates: [4e-3]}\n";

TEST_F(CompressedTraining, CountsBytesInBf16AndLossesSeedBySeed) {
  const Reproduction r = run(kOthers);
  const auto &m = r.found.measured, &b = r.found.baseline;
  const auto bytes = [](const auto& from, const std::string& name) {
    return from.at(name).template get<double>();
  };
  EXPECT_EQ(m["seeds"], 2);
  EXPECT_EQ(b["bf16_state_bytes"], b["uncompressed_state_bytes"]);
  EXPECT_EQ(bytes(b, "bf16_state_bytes"), 2 * bytes(b, "bf16_with_bf16_states_state_bytes"));
  EXPECT_EQ(b["bf16_saved_bytes"], b["bf16_with_bf16_states_saved_bytes"]);
  EXPECT_EQ(m["coat_state_bytes"], m["coat_in_bf16_state_bytes"]);
  EXPECT_NEAR(bytes(m, "counted_ratio"),
              (bytes(b, "bf16_state_bytes") + bytes(b, "bf16_saved_bytes")) /
                  (bytes(m, "coat_in_bf16_state_bytes") + bytes(m, "coat_in_bf16_saved_bytes")),
              1e-9);
  EXPECT_GT(bytes(m, "counted_ratio_to_bf16_states"), 1.3);
  EXPECT_LT(bytes(m, "counted_ratio_to_bf16_states"), bytes(m, "counted_ratio"));
  EXPECT_GT(bytes(m, "planned_ratio_to_bf16_states"), 1);
  EXPECT_NE(m["coat_val_loss"], b["uncompressed_val_loss"]);
  EXPECT_NE(m["coat_val_loss"], m["naive_val_loss"]);
  EXPECT_NEAR(bytes(m, "val_loss_above"),
              bytes(m, "coat_val_loss") - bytes(b, "uncompressed_val_loss"), 1e-9);
}

TEST_F(CompressedTraining, WantsItsContenders) {
  try {
    run("");
    FAIL();
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), HasSubstr("a contender 'coat' is needed"));
  }
}

}  // namespace
}  // namespace espalier

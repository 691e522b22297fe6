// Races of optimisers, small: what is trained, chosen, kept and refused.
#include "reproduce/optimizer_race.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "base/log.h"
#include "tests/support/run_op.h"
#include "tests/support/tree.h"
#include "train/stop.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using testing::user_error;

constexpr const char* kRace =
    "espalier: 1\n"
    "reproduces: {id: 1, system: s, paper: p, claim: c, baseline: b, bar: r}\n"
    "model: {zoo: char_gpt, variables: {layers: 1, width: 16, heads: 2, hidden: 32}}\n"
    "data: {kind: synthetic, path: text, context: 16, samples: 400}\n"
    "training: {epochs: 2, epoch_steps: 6, batch: 4, schedule: {kind: cosine, warmup: 0.5}}\n"
    "seeds: 2\n";

/// A cache of the test's own, and silence.
class Races : public ::testing::Test {
 protected:
  Races() {
    ::setenv("ESPALIER_CACHE", cache_.c_str(), 1);
    set_quiet(true);
  }
  ~Races() override { std::filesystem::remove_all(cache_); }

  Reproduction run(const std::string& rest) const {
    return reproduce(Yaml::parse(kRace + rest, "r.yaml"),
                     {.recipe = testing::source_dir() + "/recipes/reproduce/soap.yaml", .seed = 4});
  }
  std::filesystem::path cache_ =
      std::filesystem::temp_directory_path() / ("espalier_races_" + std::to_string(::getpid()));
};

TEST_F(Races, SoapCountsStepsAndBytes) {
  const Reproduction r =
      run("measure: soap\n"
          "contenders:\n"
          "  - {name: adamw, optimizer: {kind: adamw}, rates: [1e-3, 4e-3, 1]}\n"
          "  - {name: shampoo, optimizer: {kind: shampoo, every: 2}, rates: [4e-3]}\n"
          "  - {name: soap, optimizer: {kind: soap, every: 2}, rates: [4e-3]}\n");
  const auto &m = r.found.measured, &b = r.found.baseline;
  EXPECT_EQ(b["steps"], 12);
  EXPECT_EQ(m["seeds"], 2);
  // The best of the rates, by the first seed.
  EXPECT_EQ(b["adamw_rate"], 4e-3);
  EXPECT_EQ(b["adamw_rate_at_edge"], false);
  EXPECT_GT(m["soap_state_bytes"].get<int64_t>(), b["adamw_state_bytes"].get<int64_t>());
  EXPECT_EQ(m["soap_state_bytes"], b["shampoo_state_bytes"]);
  EXPECT_LT(m["soap_test_loss"].get<double>(), std::log(40.0));
  EXPECT_GT(m["soap_step_ms"].get<double>(), 0);
  // Nothing is left for a later run to find.
  EXPECT_TRUE(std::filesystem::is_empty(cache_ / "reproduce"));
}

TEST_F(Races, FrugalMeasuresItsPartOfTheState) {
  const Reproduction r =
      run("measure: frugal\n"
          "contenders:\n"
          "  - {name: adamw, optimizer: {kind: adamw}, rates: [4e-3]}\n"
          "  - {name: frugal, optimizer: {kind: frugal, every: 3}, rates: [4e-3]}\n"
          "  - {name: galore, optimizer: {kind: galore, every: 3}, rates: [4e-3]}\n"
          "  - {name: badam, optimizer: {kind: badam, every: 3}, rates: [4e-3]}\n"
          "  - {name: frugal0, optimizer: {kind: frugal, density: 0}, rates: [4e-3]}\n"
          "  - {name: signsgd, optimizer: {kind: signsgd}, rates: [4e-3]}\n");
  const auto &m = r.found.measured, &b = r.found.baseline;
  EXPECT_NEAR(m["state_part"].get<double>(), 0.25, 1e-3);
  EXPECT_LE(m["state_part"].get<double>(), 0.25);
  EXPECT_GT(b["galore_state_part"].get<double>(), 0.15);
  EXPECT_EQ(b["badam_state_part"], m["state_part"]);
  EXPECT_EQ(b["signsgd_state_bytes"], 0);
  EXPECT_GT(m["frugal0_state_bytes"].get<int64_t>(), 0);
  EXPECT_LE(m["seeds_below_badam"].get<int64_t>(), 2);
}

TEST_F(Races, LionComparesBatchesUpdatesAndAFoundRule) {
  const std::string rest =
      "measure: lion\n"
      "batches: [4, 8]\n"
      "elements: 1000\n"
      "contenders:\n"
      "  - {name: adamw, optimizer: {kind: adamw}, rates: [4e-3]}\n"
      "  - {name: lion, optimizer: {kind: lion}, rates: [1e-3]}\n"
      "search:\n"
      "  candidates: 12\n"
      "  population: 4\n"
      "  finalists: 2\n"
      "  model: {zoo: char_gpt, variables: {layers: 1, width: 8, heads: 2, hidden: 8}}\n"
      "  training: {epochs: 1, epoch_steps: 5, batch: 4, schedule: {peak: 0.1}}\n"
      "  descent: {name: descent, optimizer: {kind: signsgd}, rates: [0.05, 0.1]}\n";
  const Reproduction r = run(rest);
  const auto &m = r.found.measured, &b = r.found.baseline;
  EXPECT_EQ(2 * m["batch4_lion_state_bytes"].get<int64_t>(), b["batch4_adamw_state_bytes"]);
  EXPECT_EQ(m["state_is_half_of_adamw"], true);
  EXPECT_NE(m["batch4_lion_test_loss"], m["batch8_lion_test_loss"]);
  EXPECT_EQ(m["programs_evaluated"], 12);
  EXPECT_EQ(b["descent_state_bytes"], 0);
  EXPECT_GT(b["adamw_update_ms"].get<double>(), 0);
  EXPECT_THAT(m["found"].get<std::string>(), HasSubstr("rate"));
}

TEST_F(Races, GoOnWhereTheyWereInterrupted) {
  const std::string rest =
      "measure: soap\n"
      "contenders:\n"
      "  - {name: adamw, optimizer: {kind: adamw}, rates: [4e-3]}\n"
      "  - {name: shampoo, optimizer: {kind: shampoo}, rates: [4e-3]}\n"
      "  - {name: soap, optimizer: {kind: soap}, rates: [4e-3]}\n";
  const Reproduction whole = run(rest);
  // Stopped as soon as the first training is done.
  set_quiet(false);
  set_log_sink([](std::string_view) { request_stop(); });
  EXPECT_THAT(user_error([&] { run(rest); }), HasSubstr("was interrupted"));
  set_log_sink({});
  set_quiet(true);
  clear_stop();
  EXPECT_FALSE(std::filesystem::is_empty(cache_ / "reproduce"));
  const Reproduction resumed = run(rest);
  for (const char* key : {"steps", "soap_val_loss", "soap_test_loss", "soap_state_bytes"})
    EXPECT_EQ(resumed.found.measured[key], whole.found.measured[key]) << key;
  EXPECT_EQ(resumed.found.baseline["adamw_test_loss"], whole.found.baseline["adamw_test_loss"]);
  EXPECT_TRUE(std::filesystem::is_empty(cache_ / "reproduce"));
}

TEST_F(Races, StepsToALossLieBetweenEvaluations) {
  RacedRun r;
  r.val_loss = {4, 3, 2, 2.5, 1};
  EXPECT_EQ(r.steps_to(5, 10), 10);
  EXPECT_NEAR(r.steps_to(2.5, 10), 25, 1e-9);
  EXPECT_NEAR(r.steps_to(1.75, 10), 45, 1e-9);
  EXPECT_TRUE(std::isinf(r.steps_to(0.5, 10)));
  EXPECT_EQ(r.last(), 1);
  r.diverged = true;
  EXPECT_TRUE(std::isinf(r.last()));
}

TEST_F(Races, WrongRecipesAreRefusedBeforeAnythingIsTrained) {
  const auto error = [&](const std::string& rest) { return user_error([&] { run(rest); }); };
  const std::string adamw = "  - {name: adamw, optimizer: {kind: adamw}, rates: [4e-3]}\n";
  EXPECT_THAT(error("measure: soap\n"), HasSubstr("contenders"));
  EXPECT_THAT(error("measure: soap\ncontenders:\n" + adamw), HasSubstr("'shampoo' is needed"));
  EXPECT_THAT(error("measure: soap\ncontenders:\n" + adamw + adamw), HasSubstr("two contenders"));
  const auto one = [&](const std::string& keys) {
    return error("measure: soap\ncontenders:\n  - {name: adamw, " + keys + "}\n");
  };
  EXPECT_THAT(one("optimizer: {kind: adamw}, rates: []"), HasSubstr("needs a rate"));
  EXPECT_THAT(one("optimizer: {kind: adamw}, rates: [2, 1]"), HasSubstr("rates must rise"));
  EXPECT_THAT(one("optimizer: {kind: adamw}, rates: [0]"), HasSubstr("must be positive"));
  EXPECT_THAT(one("optimizer: {kind: frugal, part: block}, rates: [1]"), HasSubstr("block"));
  EXPECT_THAT(one("optimizer: {kind: soap, every: 0}, rates: [1]"), HasSubstr("every"));
  EXPECT_THAT(one("optimizer: {kind: adamw}, rates: [1], rate: 2"), HasSubstr("rate"));
}

}  // namespace
}  // namespace espalier

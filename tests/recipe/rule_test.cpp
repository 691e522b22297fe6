// Learning rules as recipes choose them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "recipe/recipe.h"
#include "recipe/train_in_c.h"
#include "recipe/train_run.h"
#include "tests/support/error_of.h"
#include "tests/support/tree.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
const bool kQuiet = (set_quiet(true), true);

TrainRecipe read(const std::string& rule) {
  return read_train_recipe(Yaml::parse(
      "espalier: 1\ntask: train\nname: t\nseed: 2\nmodel: {definition: " + testing::source_dir() +
          "/recipes/zoo/tiny_digits.yaml}\n"
          "data: {kind: synthetic, path: glyphs, resize: 14, samples: 80, cache: off}\n"
          "training:\n  epochs: 1\n  epoch_steps: 2\n  batch: 16\n" +
          rule,
      "r.yaml"));
}

using ::espalier::testing::error_of;

TEST(RuleRecipe, IsReadRefusedAndRun) {
  EXPECT_TRUE(read("").training.rule.backpropagates());
  EXPECT_EQ(read("  rule: spsa\n").training.rule.kind, "spsa");
  const TrainRecipe r =
      read("  rule: {kind: spsa, directions: 3, two_sided: false, draw: normal}\n");
  EXPECT_EQ(r.training.rule.text(), "spsa,directions=3,draw=1,radius=0.001,two_sided=0");
  EXPECT_THAT(error_of([] { read("  rule: {kind: spa}\n"); }), HasSubstr("r.yaml:11"));
  EXPECT_THAT(error_of([] { read("  rule: {kind: spsa, density: 1}\n"); }), HasSubstr("density"));
  EXPECT_THAT(error_of([] { read("  rule: backprob\n"); }), HasSubstr("backprop"));
  const fs::path folder =
      fs::temp_directory_path() / ("espalier_rule_" + std::to_string(::getpid()));
  TrainRunOptions options;
  options.folder = folder;
  const TrainRun run = run_training(r, options);
  const auto summary = nlohmann::json::parse(run.summary);
  EXPECT_EQ(summary["rule"]["kind"], "spsa");
  EXPECT_EQ(summary["rule"]["queries"], 2 * (1 + 3));
  fs::remove_all(folder);
  CFile file("net");
  EXPECT_THAT(error_of([&] {
                add_training(file, r.model.build(1, nullptr), r, {16, 1, 14, 14});
              }),
              HasSubstr("C has no form of that"));
}

}  // namespace
}  // namespace espalier

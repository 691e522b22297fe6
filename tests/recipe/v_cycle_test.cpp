// V-cycles in recipes: read, refused, run, interrupted and gone on with; and which networks of the
// zoo have smaller copies.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "recipe/blueprint.h"
#include "recipe/train_run.h"
#include "tests/recipe/run_ends.h"
#include "tests/support/error_of.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using ::espalier::testing::error_of;
using testing::expect_same_end;
using ::testing::HasSubstr;
using testing::results;
using testing::stopped_after;
const bool kQuiet = (set_quiet(true), true);

struct Folder {
  fs::path path =
      fs::temp_directory_path() / ("espalier_cycle_" + std::to_string(::getpid()) + "_" +
                                   ::testing::UnitTest::GetInstance()->current_test_info()->name());
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
};

TrainRecipe read(const std::string& cycle, const std::string& more = "") {
  return read_train_recipe(Yaml::parse(
      "espalier: 1\ntask: train\nname: t\nseed: 2\nmodel: {zoo: char_gpt, variables: {layers: 2, "
      "width: 16, heads: 2, hidden: 32}}\ndata: {kind: synthetic, path: text, context: 8, samples: "
      "300, val: 0.1, test: 0.1, cache: off}\ntraining:\n  epochs: 2\n  epoch_steps: 5\n  batch: "
      "8\n  optimizer: {kind: adamw}\n  schedule: {kind: cosine, peak: 0.004, warmup: 1}\n" +
          more + "  v_cycle: " + cycle + "\n",
      "r.yaml"));
}

TEST(VCyclePart, IsReadAndRefusedWithItsLine) {
  EXPECT_EQ(
      read("{first: 2, small: 3, levels: 3, width: 4, depth: 1, whole: [\"a*\"], alpha: 0.25, "
           "rate: 2, moments: fresh}")
          .v_cycle->cycle.text(),
      "levels=3,width=4,depth=1,first=2,small=3,rate=2,alpha=0.25,moments=fresh,whole=a*");
  EXPECT_EQ(read("{first: 1, small: 1}").v_cycle->cycle.alpha, 0.5);
  const auto wrong = [](const std::string& cycle, const std::string& more = "") {
    return error_of([&] { read(cycle, more); });
  };
  EXPECT_THAT(wrong("{small: 3}"), HasSubstr("first"));
  EXPECT_THAT(wrong("{first: 1, small: 3, alhpa: 1}"), HasSubstr("r.yaml:13"));
  EXPECT_THAT(wrong("{first: 1, small: 3, width: 1, depth: 1}"), HasSubstr("neither widths"));
  EXPECT_THAT(wrong("{first: 1, small: 3}", "  only: \"wpe\"\n"),
              HasSubstr("does not go together"));
  EXPECT_THAT(wrong("{first: 1, small: 3}",
                    "  parametrization: {kind: mup, base: {width: 16, hidden: 32}}\n"),
              HasSubstr("does not go together"));
  const Folder f;
  EXPECT_THAT(error_of([&] {
                run_training(read("{first: 1, small: 3, whole: [\"nothing*\"]}"), {f.path / "a"});
              }),
              HasSubstr("r.yaml:13"));
  EXPECT_FALSE(fs::exists(f.path / "a" / "v_cycle"));
}

TEST(VCyclePart, AnInterruptedRunEndsTheSame) {
  const Folder f;
  const TrainRecipe recipe = read("{first: 1, small: 2, levels: 2}");
  const TrainRun whole = run_training(recipe, {f.path / "whole"});
  ASSERT_TRUE(whole.finished);
  EXPECT_EQ(whole.steps, 5 * (1 + 2 + 2));
  const nlohmann::json cycle = results(f.path / "whole")["v_cycle"];
  ASSERT_EQ(cycle["stretches"].size(), 2u);
  EXPECT_EQ(cycle["stretches"][1]["size"], 2);
  EXPECT_GT(cycle["macs"].get<double>(), cycle["stretches"][0]["macs"].get<double>() * 3);
  // Stopped after each of its epochs in turn.
  for (int stops = 1; stops <= 4; ++stops) {
    const fs::path folder = f.path / std::to_string(stops);
    const TrainRun part = stopped_after(stops, recipe, folder);
    EXPECT_FALSE(part.finished) << stops;
    EXPECT_EQ(part.steps, 5 * stops);
    EXPECT_THAT(error_of([&] { run_training(recipe, {folder}); }), HasSubstr("--resume"));
    EXPECT_THAT(
        error_of([&] {
          run_training(read("{first: 1, small: 2, alpha: 0.25}"), {folder, /*resume=*/true});
        }),
        HasSubstr("other settings"));
    ASSERT_TRUE(run_training(recipe, {folder, /*resume=*/true}).finished);
    expect_same_end(folder, f.path / "whole");
  }
}

TEST(VCyclePart, NetworksOfTheZooHaveSmallerCopies) {
  using Variables = std::map<std::string, std::string>;
  const auto check = [](const std::string& name, const Variables& variables, int64_t depth) {
    const Graph g = load_blueprint(zoo_path(name), {.variables = variables});
    // The constructor compares what both widths compute.
    const Coarsening c(g, {.width = 2, .depth = depth});
    EXPECT_GE(c.merged_classes().size(), 3u) << name;
    const auto large = constant_values(g);
    EXPECT_EQ(c.decoalesced(constant_values(c.small())).size(), large.size()) << name;
  };
  const Variables gpt = {{"layers", "4"}, {"width", "16"}, {"heads", "2"}, {"hidden", "32"}};
  for (const char* tied : {"true", "false"}) {
    Variables v = gpt;
    v["tied"] = tied;
    check("char_gpt", v, 2);
  }
  Variables vit = gpt;
  vit.insert({{"size", "16"}, {"patch", "4"}, {"classes", "5"}});
  check("vit_tiny", vit, 2);
  check("resnet20", {}, 2);
  check("ds_cnn", {}, 1);
}

}  // namespace
}  // namespace espalier

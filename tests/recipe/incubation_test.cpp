// Incubation in recipes: read, refused, run, interrupted and gone on with, its jobs one by one; and
// which networks of the zoo are made of modules.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/temporary_folder.h"
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

TrainRecipe read(const std::string& incubation, const std::string& more = "") {
  return read_train_recipe(Yaml::parse(
      "espalier: 1\ntask: train\nname: t\nseed: 2\nmodel: {zoo: char_gpt, variables: {layers: 4, "
      "width: 16, heads: 2, hidden: 32}}\ndata: {kind: synthetic, path: text, context: 8, samples: "
      "300, val: 0.1, test: 0.1, cache: off}\ntraining:\n  epochs: 2\n  epoch_steps: 5\n  batch: "
      "8\n  optimizer: {kind: adamw}\n  schedule: {kind: cosine, peak: 0.004, warmup: 1}\n" +
          more + "  incubation: " + incubation + "\n",
      "r.yaml"));
}

TEST(IncubationPart, IsReadAndRefusedWithItsLine) {
  EXPECT_EQ(read("{meta_epochs: 3, module_epochs: 2, modules: 2, rate: 0.5}")
                .incubation->incubation.text(),
            "modules=2,around=meta,meta_epochs=3,module_epochs=2,rate=0.5");
  EXPECT_EQ(read("{around: below, module_epochs: 2}").incubation->incubation.text(),
            "modules=4,around=below,module_epochs=2,rate=1");
  const auto wrong = [](const std::string& incubation, const std::string& more = "") {
    return error_of([&] { read(incubation, more); });
  };
  EXPECT_THAT(wrong("{module_epochs: 3}"), HasSubstr("meta_epochs"));
  EXPECT_THAT(wrong("{meta_epochs: 3}"), HasSubstr("module_epochs"));
  EXPECT_THAT(wrong("{around: below, meta_epochs: 3, module_epochs: 3}"),
              HasSubstr("no meta model"));
  EXPECT_THAT(wrong("{meta_epochs: 1, module_epochs: 1, modules: 1}"), HasSubstr("r.yaml:13"));
  EXPECT_THAT(wrong("{meta_epochs: 1, module_epochs: 1, around: all}"), HasSubstr("meta"));
  EXPECT_THAT(wrong("{meta_epochs: 1, module_epochs: 1, modlues: 2}"), HasSubstr("r.yaml:13"));
  for (const char* more : {"  only: \"wpe\"\n", "  v_cycle: {first: 1, small: 1}\n",
                           "  parametrization: {kind: mup, base: {width: 16, hidden: 32}}\n"})
    EXPECT_THAT(wrong("{meta_epochs: 1, module_epochs: 1}", more),
                HasSubstr("does not go together"));
}

TEST(IncubationPart, IsRefusedBeforeAnythingIsWritten) {
  const TemporaryFolder f("incubation");
  const auto wrong = [&](const std::string& incubation, const std::string& job = "") {
    return error_of([&] {
      run_training(read(incubation), {f.path() / "a", false, false, false, job});
    });
  };
  EXPECT_THAT(wrong("{meta_epochs: 1, module_epochs: 1, modules: 5}"),
              HasSubstr("r.yaml:13: char_gpt"));
  EXPECT_THAT(wrong("{meta_epochs: 1, module_epochs: 1, modules: 2}", "module3"),
              HasSubstr("meta to module2"));
  EXPECT_FALSE(fs::exists(f.path() / "a" / "incubation"));
  TrainRecipe plain = read("{meta_epochs: 1, module_epochs: 1, modules: 2}");
  plain.incubation.reset();
  EXPECT_THAT(error_of([&] {
                run_training(plain, {f.path() / "b", false, false, false, "meta"});
              }),
              HasSubstr("has no incubation"));
}

TEST(IncubationPart, AnInterruptedRunEndsTheSame) {
  const TemporaryFolder f("incubation");
  const TrainRecipe recipe = read("{meta_epochs: 2, module_epochs: 1, modules: 2}");
  const TrainRun whole = run_training(recipe, {f.path() / "whole"});
  ASSERT_TRUE(whole.finished);
  EXPECT_EQ(whole.steps, 5 * (2 + 1 + 1 + 2));
  const nlohmann::json found = results(f.path() / "whole")["incubation"];
  ASSERT_EQ(found["jobs"].size(), 3u);
  EXPECT_EQ(found["jobs"][2]["job"], "module2");
  EXPECT_LT(found["jobs"][2]["trained"], found["jobs"][2]["params"]);
  EXPECT_LT(found["jobs"][1]["bytes"], found["last_bytes"]);
  // Stopped after each of its epochs in turn but the last.
  for (int stops = 1; stops <= 5; ++stops) {
    const fs::path folder = f.path() / std::to_string(stops);
    const TrainRun part = stopped_after(stops, recipe, folder);
    EXPECT_FALSE(part.finished) << stops;
    EXPECT_EQ(part.steps, 5 * stops);
    EXPECT_THAT(error_of([&] { run_training(recipe, {folder}); }), HasSubstr("--resume"));
    EXPECT_THAT(error_of([&] {
                  run_training(read("{meta_epochs: 2, module_epochs: 2, modules: 2}"),
                               {folder, /*resume=*/true});
                }),
                HasSubstr("other settings"));
    ASSERT_TRUE(run_training(recipe, {folder, /*resume=*/true}).finished);
    expect_same_end(folder, f.path() / "whole");
  }
}

TEST(IncubationPart, JobsOneByOneEndTheSame) {
  const TemporaryFolder f("incubation");
  const TrainRecipe recipe = read("{meta_epochs: 2, module_epochs: 1, modules: 2}");
  ASSERT_TRUE(run_training(recipe, {f.path() / "whole"}).finished);
  const fs::path folder = f.path() / "parts";
  for (const char* job : {"meta", "module2", "module1"}) {
    const TrainRun run = run_training(recipe, {folder, /*resume=*/true, false, false, job});
    EXPECT_FALSE(run.finished);
    EXPECT_EQ(nlohmann::json::parse(run.job)["job"], job);
  }
  EXPECT_FALSE(fs::exists(folder / "summary.json"));
  ASSERT_TRUE(run_training(recipe, {folder, /*resume=*/true}).finished);
  expect_same_end(folder, f.path() / "whole");
  // Replaced, nothing is left of the jobs before.
  EXPECT_THAT(error_of([&] {
                run_training(recipe, {folder, false, true, false, "module1"});
              }),
              HasSubstr("needs meta"));
}

TEST(IncubationPart, NetworksOfTheZooHaveModules) {
  using Variables = std::map<std::string, std::string>;
  const auto check = [](const std::string& name, const Variables& variables, int64_t modules,
                        size_t shared) {
    const Graph g = load_blueprint(zoo_path(name), {.variables = variables});
    const ModuleSplit split(g, modules);
    size_t constants = 0, several = 0;
    for (int64_t m = 0; m < modules; ++m) {
      EXPECT_FALSE(split.constants(m).empty()) << name;
      constants += split.constants(m).size();
      several += split.shared(m).size();
    }
    EXPECT_EQ(several, shared) << name;
    size_t all = 0;
    for (ValueId v : g.constants()) all += g.value(v).role != Role::kNone;
    EXPECT_EQ(constants + several, all) << name;
    EXPECT_EQ(module_jobs(split, Around::kMeta).size(), size_t(modules) + 1) << name;
  };
  const Variables gpt = {{"layers", "4"}, {"width", "16"}, {"heads", "2"}, {"hidden", "32"}};
  Variables untied = gpt;
  untied["tied"] = "false";
  check("char_gpt", gpt, 2, 1);
  check("char_gpt", untied, 2, 0);
  Variables vit = gpt;
  vit.insert({{"size", "16"}, {"patch", "4"}, {"classes", "5"}});
  check("vit_tiny", vit, 2, 0);
  check("resnet20", {}, 3, 0);
  check("bert_mini_encoder", {}, 2, 0);
}

}  // namespace
}  // namespace espalier

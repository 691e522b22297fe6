// What recipes say of training a part: read, refused, run, and compared.
#include "recipe/trained_part.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/threads.h"
#include "onnx/export.h"
#include "recipe/blueprint.h"
#include "recipe/network_file.h"
#include "recipe/recipe.h"
#include "recipe/train_run.h"
#include "recipe/tuning.h"
#include "recipe/weights.h"
#include "tests/support/error_of.h"
#include "tests/support/tree.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
const bool kQuiet = (set_quiet(true), true);

struct Folder {
  fs::path path =
      fs::temp_directory_path() / ("espalier_part_" + std::to_string(::getpid()) + "_" +
                                   ::testing::UnitTest::GetInstance()->current_test_info()->name());
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
};

std::string recipe_text(const std::string& model, const std::string& part) {
  return "espalier: 1\ntask: train\nname: t\nseed: 2\nmodel: " + model +
         "\ndata: {kind: synthetic, path: glyphs, samples: 120, cache: off}\n"
         "training:\n  epochs: 1\n  batch: 16\n  schedule: {kind: constant, peak: 0.01}\n" +
         part;
}

TrainRecipe read(const std::string& model, const std::string& part) {
  return read_train_recipe(Yaml::parse(recipe_text(model, part), "r.yaml"));
}

using ::espalier::testing::error_of;

TEST(TrainedPart, IsReadFromARecipe) {
  const TrainRecipe r = read("{zoo: lenet5}",
                             "  only:\n  - \"fc3*\"\n  - {biases: true, except: [\"conv1.*\"]}\n"
                             "  - {names: [\"fc1.*\", \"fc2.*\"], last_layers: 2}\n");
  const Selection expected = {{.names = {"fc3*"}},
                              {.except = {"conv1.*"}, .biases = true},
                              {.names = {"fc1.*", "fc2.*"}, .last_layers = 2}};
  EXPECT_EQ(r.trained.only, expected);
  const TrainRecipe a =
      read("{zoo: lenet5}", "  adapt: {kind: lora, rank: 2, targets: fc1.*, also: [fc3.bias]}\n");
  EXPECT_EQ(a.trained.adapt->text(),
            "lora,alpha=0,batches=16,rank=2,square=0,widest=2,start=random,at=fc1.*,also=fc3.bias");
}

TEST(TrainedPart, WrongPartsAreRefusedWithTheirLine) {
  const auto wrong = [](const std::string& part) {
    return error_of([&] { read("{zoo: lenet5}", part); });
  };
  EXPECT_THAT(wrong("  only: {names: fc1.*, bias: true}\n"), HasSubstr("r.yaml:11"));
  EXPECT_THAT(wrong("  only: {last_layers: 0}\n"), HasSubstr("last_layers is 0"));
  EXPECT_THAT(wrong("  only: []\n"), HasSubstr("names nothing to train"));
  EXPECT_THAT(wrong("  adapt: {kind: lroa}\n"), HasSubstr("did you mean 'lora'?"));
  EXPECT_THAT(wrong("  adapt: {kind: lora, start: eva}\n"), HasSubstr("start cannot be 'eva'"));
  EXPECT_THAT(wrong("  adapt: {kind: flora, alpha: 2}\n"), HasSubstr("no key 'alpha'"));
  EXPECT_THAT(wrong("  adapt: bias\n  only: fc1.*\n"), HasSubstr("do not go together"));
  EXPECT_THAT(wrong("  frozen: int8\n"), HasSubstr("say what is trained by only"));
  EXPECT_THAT(wrong("  only: fc3.*\n  frozen: int4\n"), HasSubstr("frozen cannot be 'int4'"));
  const Folder folder;
  const auto run = [&](const std::string& part) {
    return error_of([&] {
      run_training(read("{zoo: lenet5, variables: {channels: 3, size: 32}}", part),
                   {.folder = folder.path});
    });
  };
  EXPECT_THAT(
      run("  only: {names: fc4.*}\n"),
      ::testing::AllOf(HasSubstr("r.yaml:11"), HasSubstr("'fc4.*'"), HasSubstr("fc1.weight")));
  EXPECT_THAT(run("  adapt: {kind: lora, targets: fc4.*}\n"), HasSubstr("the nearest are fc1"));
}

/// The network of a run, as it was exported.
Graph result_of(const fs::path& run) { return read_network(run / "model.onnx"); }

TEST(TrainedPart, FrozenParametersOfSavedWeightsAndOfOnnxStayToTheBit) {
  const Folder folder;
  const Graph net = load_blueprint(
      zoo_path("lenet5", testing::source_dir() + "/recipes/fit/demo.yaml"),
      {.seed = 9, .variables = {{"channels", "3"}, {"size", "32"}, {"classes", "20"}}});
  save_weights(net, folder.path / "net.safetensors");
  export_onnx(net, folder.path / "net.onnx");
  const std::string models[] = {
      "{zoo: lenet5, weights: " + (folder.path / "net.safetensors").string() + "}",
      "{file: " + (folder.path / "net.onnx").string() + "}"};
  for (const std::string& model : models) {
    SCOPED_TRACE(model);
    const fs::path run = folder.path / "run";
    run_training(read(model, "  only: {last_layers: 1}\n"), {.folder = run, .overwrite = true});
    const Graph after = result_of(run);
    for (ValueId v : net.constants()) {
      const Value& value = net.value(v);
      if (value.role != Role::kParameter) continue;
      const ValueId now = after.find(value.name);
      ASSERT_NE(now, kNoValue) << value.name;
      EXPECT_EQ(after.value(now).constant->identical(*value.constant),
                !value.name.starts_with("fc3."))
          << value.name;
    }
    const auto summary = nlohmann::json::parse(read_file(run / "summary.json"));
    EXPECT_EQ(summary["trained"]["params"], 84 * 20 + 20);
    EXPECT_GT(summary["timing"]["process_peak_bytes"], 1 << 20);
    EXPECT_TRUE(fs::exists(run / "trained.safetensors"));
  }
}

TEST(TrainedPart, FrozenLayersOnIntegersAreHandedOverAsTheyWere) {
  const Folder folder;
  const std::string model = "{zoo: lenet5, variables: {channels: 3, size: 32}}";
  // The layer beside which the first adapter stands reads what no adapter has changed.
  const std::pair<const char*, int> parts[] = {
      {"  only: {last_layers: 2}\n  frozen: int8\n", 3},
      {"  adapt: {kind: lora, rank: 2, targets: [fc2.*, fc3.*]}\n"
       "  frozen: int8\n  precision: bf16\n",
       4}};
  for (const auto& [part, layers] : parts) {
    SCOPED_TRACE(part);
    const fs::path run = folder.path / "run";
    const TrainRecipe r = read(model, part);
    run_training(r, {.folder = run, .overwrite = true});
    const Graph before = r.model.build(r.training.seed, nullptr), after = result_of(run);
    for (const char* name : {"conv1.weight", "conv2.weight", "fc1.weight"})
      EXPECT_TRUE(after.value(after.find(name))
                      .constant->identical(*before.value(before.find(name)).constant))
          << name;
    for (const char* name : {"fc2.weight", "fc3.weight"})
      EXPECT_FALSE(after.value(after.find(name))
                       .constant->identical(*before.value(before.find(name)).constant))
          << name;
    const auto summary = nlohmann::json::parse(read_file(run / "summary.json"));
    EXPECT_EQ(summary["trained"]["frozen"]["int8_layers"], layers);
    EXPECT_LT(summary["trained"]["frozen"]["relative_error"], 0.05);
  }
  EXPECT_THAT(error_of([&] {
                run_training(read(model, "  only: conv1.*\n  frozen: int8\n"),
                             {.folder = folder.path / "wrong"});
              }),
              ::testing::AllOf(HasSubstr("r.yaml:11"), HasSubstr("before the trained ones")));
}

TEST(TrainedPart, AnAdapterIsMergedIntoWhatIsExported) {
  const Folder folder;
  run_training(read("{zoo: lenet5}", "  adapt: {kind: lora, rank: 2, also: fc3.bias}\n"),
               {.folder = folder.path / "run"});
  const Graph after = result_of(folder.path / "run");
  EXPECT_EQ(after.find("fc1.weight.lora_a"), kNoValue);
  EXPECT_NE(after.find("fc1.weight"), kNoValue);
}

TEST(TrainedPart, ATemperatureIsTaughtByTheRobustLossAndExported) {
  const Folder folder;
  const std::string part = "  rho: 1.5\n  adapt: {kind: temperature, width: 8, least: 0.5}\n";
  const TrainRecipe r = read("{zoo: lenet5}", part);
  EXPECT_EQ(r.training.rho, 1.5);
  run_training(r, {.folder = folder.path / "run"});
  const Graph after = result_of(folder.path / "run");
  EXPECT_EQ(after.outputs().size(), 1U);
  EXPECT_NE(after.find("temperature"), kNoValue);
  const auto summary = nlohmann::json::parse(read_file(folder.path / "run" / "summary.json"));
  EXPECT_EQ(summary["trained"]["merged"], false);
  EXPECT_EQ(summary["trained"]["params"], 20 * 8 + 8 + 8 * 8 + 8 + 1 + 8 + 1);
  // What was exported can be taught further.
  const std::string model = "{file: " + (folder.path / "run" / "model.onnx").string() + "}";
  run_training(read(model, "  rho: 1\n  only: \"temperature.*\"\n"),
               {.folder = folder.path / "further"});
  const auto wrong = [&](const std::string& text) {
    return error_of(
        [&] { run_training(read("{zoo: lenet5}", text), {.folder = folder.path / "wrong"}); });
  };
  EXPECT_THAT(wrong("  rho: 1\n"), HasSubstr("adapt: {kind: temperature}"));
  EXPECT_THAT(wrong("  rho: -1\n"), HasSubstr("r.yaml:11"));
  EXPECT_THAT(wrong("  rho: 1\n  label_smoothing: 0.1\n"), HasSubstr("do not go together"));
}

TEST(TrainedPart, NormalisationsAreTrainedInTheModeOfTheirRule) {
  const TrainRecipe r =
      read("{zoo: resnet8}", "  batch_norm: [{mode: eval, names: bn1.*}, tune]\n");
  EXPECT_EQ(r.training.norms, (NormRules{{NormMode::kEval, {"bn1.*"}}, {NormMode::kTune, {}}}));
  EXPECT_THAT(error_of([] { read("{zoo: resnet8}", "  batch_norm: tone\n"); }),
              ::testing::AllOf(HasSubstr("r.yaml:11"), HasSubstr("did you mean 'tune'?")));
  EXPECT_THAT(error_of([] { read("{zoo: resnet8}", "  batch_norm: {names: bn1.*}\n"); }),
              HasSubstr("mode"));
  const Folder folder;
  run_training(read("{zoo: resnet8}", "  batch_norm: deploy\n"), {.folder = folder.path / "run"});
  const Graph after = result_of(folder.path / "run");
  EXPECT_EQ(after.find("layer1.bn1.running_var"), kNoValue);
  EXPECT_NE(after.find("layer1.conv1.weight"), kNoValue);
}

TEST(Tuning, MethodsAreReadAndMistakesAreNamed) {
  EXPECT_TRUE(parse_tuning_method("full").part.everything());
  EXPECT_EQ(parse_tuning_method("head").part.only, Selection{{.last_layers = 1}});
  EXPECT_EQ(parse_tuning_method("only:names=a.*+b,biases=true").part.only,
            (Selection{{.names = {"a.*", "b"}, .biases = true}}));
  const AdapterSpec lora =
      *parse_tuning_method("lora:rank=4,start=weights,at=fc1.*,also=a+b").part.adapt;
  EXPECT_EQ(lora.settings.at("rank"), 4);
  EXPECT_EQ(lora.start, "weights");
  EXPECT_EQ(lora.also, (std::vector<std::string>{"a", "b"}));
  const auto wrong = [](const std::string& m) { return error_of([&] { parse_tuning_method(m); }); };
  EXPECT_THAT(wrong("lroa"), HasSubstr("did you mean 'lora'?"));
  EXPECT_THAT(wrong("lora:rnk=4"), HasSubstr("did you mean 'rank'?"));
  EXPECT_THAT(wrong("lora:rank=many"), HasSubstr("'many' is no number"));
  EXPECT_THAT(wrong("lora:rank"), HasSubstr("'rank' is no setting"));
  EXPECT_THAT(wrong("lora:rank=0"), HasSubstr("rank must lie between"));
}

TEST(TrainedPart, AHypernetworkIsTrainedAndHandedOverWithItsCondition) {
  const Folder folder;
  const ThreadScope one_thread(1);
  const std::string part =
      "  generate: {kind: chunked, chunk: 64, width: 8, encoding: cosine_sine, residual: true, "
      "targets: \"fc*\", turn: [0, 90]}\n";
  run_training(read("{zoo: lenet5, variables: {channels: 3, size: 32}}", part),
               {.folder = folder.path / "run"});
  const Graph after = result_of(folder.path / "run");
  ASSERT_EQ(after.inputs().size(), 2U);
  EXPECT_EQ(after.value(after.inputs()[1]).name, "condition");
  EXPECT_EQ(to_string(after.value(after.inputs()[1]).type), "f32[1,1]");
  const auto summary = nlohmann::json::parse(read_file(folder.path / "run" / "summary.json"));
  ASSERT_EQ(summary["conditions"].size(), 5U);
  EXPECT_EQ(summary["conditions"][1]["condition"], 0.25);
  EXPECT_NE(summary["conditions"][0]["loss"], summary["conditions"][4]["loss"]);
  const auto wrong = [&](const std::string& text) {
    return error_of([&] {
      run_training(read("{zoo: lenet5, variables: {channels: 3, size: 32}}", text),
                   {.folder = folder.path / "wrong"});
    });
  };
  EXPECT_THAT(wrong("  generate: {kind: mlp}\n"), HasSubstr("turn"));
  EXPECT_THAT(wrong("  generate: {kind: mlp, chunk: 3, turn: [0, 1]}\n"), HasSubstr("'chunk'"));
  EXPECT_THAT(wrong("  generate: {kind: mlp, turn: [0]}\n"), HasSubstr("two angles"));
  EXPECT_THAT(wrong("  generate: {kind: mlp, turn: [0, 1]}\n  only: fc1.*\n"),
              HasSubstr("says which are generated"));
  EXPECT_THAT(wrong("  generate: {kind: mlp, targets: fc9.*, turn: [0, 1]}\n"),
              ::testing::AllOf(HasSubstr("r.yaml:11"), HasSubstr("fc9")));
}

}  // namespace
}  // namespace espalier

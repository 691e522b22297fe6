// espalier train: a training run by a recipe.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/output.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "recipe/train_run.h"
#include "train/stop.h"

namespace espalier::cli {
namespace {

struct Args {
  std::string recipe, precision, memory;
  std::optional<int64_t> epochs, batch;
  std::vector<std::string> assignments;
  TrainRunOptions run;
};

TrainRecipe recipe_of(const Args& args, const Common& common) {
  Yaml recipe = load_recipe(args.recipe, "train");
  for (const std::string& a : args.assignments) set_recipe_value(recipe, a);
  const auto replace = [&](const char* key, const std::string& option, const std::string& value) {
    set_recipe_value(recipe, key + ("=" + value), option + " " + value);
  };
  if (args.epochs) replace("training.epochs", "--epochs", std::to_string(*args.epochs));
  if (args.batch) replace("training.batch", "--batch", std::to_string(*args.batch));
  if (!args.precision.empty()) replace("training.precision", "--precision", args.precision);
  if (!args.memory.empty()) replace("training.memory", "--memory", args.memory);
  if (common.seed) replace("seed", "--seed", std::to_string(*common.seed));
  return read_train_recipe(recipe);
}

ExitCode train(Args args, const Common& common) {
  const TrainRecipe recipe = recipe_of(args, common);
  args.run.overwrite = common.overwrite;
  if (args.run.folder.empty()) args.run.folder = "runs/" + recipe.name;
  catch_stop_signals();
  const TrainRun run = run_training(recipe, args.run);
  const std::string folder = args.run.folder.string();
  if (!run.job.empty()) {
    if (common.json)
      print_json(nlohmann::ordered_json::parse(run.job));
    else
      std::printf("%s is trained; without --job, --resume goes on with all that are left\n",
                  args.run.job.c_str());
    return ExitCode::kOk;
  }
  if (!run.finished) {
    std::fprintf(stderr, "espalier: stopped after step %lld; everything is kept in %s\n",
                 static_cast<long long>(run.steps), folder.c_str());
    std::fprintf(stderr, "  hint: the same command with --resume goes on\n");
    return kInterrupted;
  }
  if (common.json) {
    print_json(nlohmann::ordered_json::parse(run.summary));
  } else if (run.text) {
    std::printf("test perplexity %s, loss %s, validation loss %s; the network is %s/model.onnx\n",
                short_number(perplexity(run.test_loss)).c_str(),
                short_number(run.test_loss).c_str(), short_number(run.val_loss).c_str(),
                folder.c_str());
  } else if (recipe.training.loss == Loss::kCrossEntropy) {
    std::printf("test accuracy %.2f %%, validation %.2f %%; the network is %s/model.onnx\n",
                100 * run.test_accuracy, 100 * run.val_accuracy, folder.c_str());
  } else {
    std::printf("test loss %s; the network is %s/model.onnx\n", short_number(run.test_loss).c_str(),
                folder.c_str());
  }
  return ExitCode::kOk;
}

}  // namespace

Action train_verb(CLI::App& app) {
  auto args = std::make_shared<Args>();
  app.add_option("recipe", args->recipe, "A recipe whose task is train")
      ->required()
      ->check(given("the file name"))
      ->option_text("R");
  app.add_option("-o,--out", args->run.folder, "Run directory (default: runs/NAME)")
      ->check(given("the folder's name"));
  app.add_flag("--resume", args->run.resume, "Go on where an earlier run of the recipe stopped");
  app.add_flag("--any-threads", args->run.any_threads,
               "Resume at another thread count; the result may differ in its last digits");
  app.add_option("--job", args->run.job,
                 "Of a recipe with an incubation, train this alone: meta, then module1 and so on, "
                 "in any order or at once")
      ->check(given("the name of the job"))
      ->option_text("NAME");
  app.add_option("--epochs", args->epochs, "Epochs, in place of the recipe's")
      ->transform(whole_number(1));
  app.add_option("--batch", args->batch, "Batch, in place of the recipe's")
      ->transform(whole_number(1));
  app.add_option("--precision", args->precision, "f32 or bf16, in place of the recipe's");
  app.add_option(
         "--memory", args->memory,
         "Most memory of a step, as 64MB: what the backward pass needs is computed again where "
         "it does not fit")
      ->option_text("BYTES");
  app.add_option("--set", args->assignments, "Any value of the recipe: training.clip_norm=1")
      ->option_text("KEY=VALUE");
  app.footer(
      "Examples:\n"
      "  espalier train recipes/train/glyphs-resnet8.yaml\n"
      "  espalier train recipes/train/mnist-lenet5.yaml --out runs/a --epochs 2 --threads 2\n"
      "  espalier train recipes/train/shakespeare-gpt.yaml --memory 100MB\n"
      "  espalier train modules.yaml --out runs/a --resume --job module2\n"
      "Ctrl-C saves and ends; the same command with --resume goes on to the same result.");
  return [args](const Common& common) { return train(*args, common); };
}

}  // namespace espalier::cli

// espalier fit: the main job.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>

#include "base/files.h"
#include "base/log.h"
#include "cli/values.h"
#include "cli/verb.h"
#include "recipe/fit_recipe.h"
#include "recipe/network_file.h"
#include "recipe/recipe.h"
#include "recipe/weights.h"
#include "train/stop.h"

namespace espalier::cli {
namespace {

struct Args {
  std::string what, weights, data, budget, out;
  std::vector<std::string> set;
  std::optional<int64_t> train_epochs, prune_epochs;
  bool resume = false, any_threads = false;
};

bool is_recipe(const Yaml& file) { return file.is_map() && file.find("task"); }

FitPlan plan_of(const Args& args, const Common& common) {
  if (!args.budget.empty()) parse_budget(args.budget);  // a mistake in it is one of usage
  if (is_definition_file(args.what) && args.data.empty()) {
    Yaml recipe = load_recipe(args.what, "fit");
    for (const auto& assignment : args.set) set_recipe_value(recipe, assignment);
    const auto replace = [&](const char* key, const std::string& option, const std::string& value) {
      set_recipe_value(recipe, key + ("=" + value), option + " " + value);
    };
    if (common.seed) replace("seed", "--seed", std::to_string(*common.seed));
    if (args.train_epochs)
      replace("training.epochs", "--train-epochs", std::to_string(*args.train_epochs));
    if (args.prune_epochs)
      replace("prune.epochs", "--prune-epochs", std::to_string(*args.prune_epochs));
    if (!args.weights.empty()) replace("model.weights", "--weights", args.weights);
    if (!args.budget.empty()) replace("budget", "--budget", args.budget);
    return read_fit_recipe(recipe);
  }
  if (args.data.empty() || args.budget.empty())
    throw usage_error("fit", "a network needs --data and --budget",
                      "espalier fit net.onnx --data idx:mnist --budget size=100kB,drop=1");
  if (!args.weights.empty()) check_weights_file(args.weights);
  if (!args.set.empty())
    throw usage_error("--set " + args.set[0],
                      "changes a recipe, and " + args.what + " is a network",
                      "leave out --set, or write a recipe with model: {file: …}");
  if (is_definition_file(args.what) && is_recipe(Yaml::load(args.what)))
    throw usage_error("--data " + args.data,
                      "goes with a network, and " + args.what + " is a recipe",
                      "--set data=SPEC replaces the recipe's data");
  if (is_definition_file(args.what) && args.weights.empty() && args.train_epochs.value_or(0) == 0)
    throw usage_error(args.what, "is a definition: its weights are random until it is trained",
                      "--train-epochs N trains it first, --weights FILE gives it some");
  return plan_for_model(args.what, args.weights, args.data, args.budget,
                        args.train_epochs.value_or(0), args.prune_epochs.value_or(0),
                        common.seed.value_or(0));
}

ExitCode run_fit(const Args& args, const Common& common) {
  catch_stop_signals();
  const std::filesystem::path folder =
      args.out.empty() ? std::filesystem::path("runs") / std::filesystem::path(args.what).stem()
                       : std::filesystem::path(args.out);
  FitPlan plan = plan_of(args, common);
  if (common.threads > 0) plan.threads = common.threads;
  plan.version = ESPALIER_VERSION;
  plan.command = common.command;
  prepare_fit_folder(folder, args.resume, common.overwrite);
  const auto summary = fit(plan, {folder, common.overwrite && !args.resume, args.any_threads});
  if (!summary) {
    log_warning("stopped; everything done so far is in " + folder.string() +
                " (go on with --resume)");
    return kInterrupted;
  }
  if (common.json)
    std::fputs(to_json(*summary).c_str(), stdout);
  else
    std::fputs((to_table(*summary) + "  report: " + (folder / "report.html").string() +
                "\n  network: " + (folder / "model.onnx").string() + ", " +
                (folder / "model.plan").string() + "\n")
                   .c_str(),
               stdout);
  if (!summary->met) {
    std::string nearest;
    for (const auto& c : summary->candidates)
      if (c.name == summary->chosen) nearest = c.why_not;
    throw UserError(
        ExitCode::kInfeasible, "budget " + to_string(summary->budget),
        "is met by no candidate; '" + summary->chosen + "' comes nearest (" + nearest + ")",
        "the report lists all candidates; widen the term that is missed");
  }
  return ExitCode::kOk;
}

}  // namespace

Action fit_verb(CLI::App& app) {
  auto args = std::make_shared<Args>();
  app.add_option("what", args->what,
                 "A recipe (.yaml), or a network (.onnx, .tflite, .esp, .plan, .yaml definition)")
      ->required()
      ->check(given("the file name"));
  app.add_option("--weights", args->weights, "Parameters for a network, by name: .safetensors")
      ->check(given("the file name"))
      ->option_text("FILE");
  app.add_option("--data", args->data, "Data for a network, as kind:path[?key=value&...]");
  app.add_option("--budget", args->budget, "latency=1.5ms,size=200kB,macs=50%,memory=4MB,drop=1.0");
  app.add_option("-o,--out", args->out, "Run directory (default: runs/NAME)")
      ->check(given("the folder's name"));
  app.add_option("--set", args->set, "Set a recipe's value: training.epochs=3 (repeatable)");
  app.add_option("--train-epochs", args->train_epochs,
                 "Train a network this long first (default: it is trained)")
      ->transform(whole_number(0));
  app.add_option("--prune-epochs", args->prune_epochs, "Cut a network while training it this long")
      ->transform(whole_number(0));
  app.add_flag("--resume", args->resume, "Go on with an interrupted run");
  app.add_flag("--any-threads", args->any_threads, "Resume training at another thread count");
  app.footer(
      "Trains or takes a network, cuts it, lowers its precision, times every candidate beside the\n"
      "baseline on this machine, and returns the fastest that meets the budget: never a slower "
      "one.\n"
      "The run directory holds report.html, summary.json, model.onnx and model.plan.\n\n"
      "Examples:\n"
      "  espalier fit recipes/fit/demo.yaml\n"
      "  espalier fit recipes/fit/demo.yaml --budget size=60kB,drop=0.5 -o runs/small\n"
      "  espalier fit net.onnx --data images:photos --budget latency=2ms,drop=1 --prune-epochs 10");
  return [args](const Common& common) { return run_fit(*args, common); };
}

}  // namespace espalier::cli

#include "recipe/fit_recipe.h"

#include "base/error.h"
#include "base/files.h"
#include "recipe/recipe.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

Budget read_budget(const Yaml& part) {
  std::string text;
  if (part.is_map()) {
    for (const auto& [key, value] : part.entries())
      text += (text.empty() ? "" : ",") + key.text() + "=" + value.text();
  } else {
    text = part.text();
  }
  try {
    return parse_budget(text);
  } catch (const UserError& e) {
    if (e.code() == ExitCode::kUnsupported) throw e.within(part.where());
    part.fail(e.where() + ": " + e.problem(), e.hint());
  }
}

/// No budget allows any loss of accuracy: where it names none, one point.
Budget with_default_drop(Budget budget) {
  if (!budget.drop) budget.drop = 1.0;
  return budget;
}

/// What a cut network is trained with: briefly and gently, for its weights are good already.
TrainOptions pruning_defaults(TrainOptions training) {
  training.name = "pruning";
  training.schedule.peak *= 0.5;
  return training;
}

/// A trained network's inputs, outputs and gradients have whatever scale its makers chose: AdamW's
/// steps do not depend on it. Small batches make many steps of little data.
void tune_gently(TrainOptions& training) {
  training.optimizer.kind = "adamw";
  training.schedule.peak = 0.002;
  training.batch = 32;
}

void read_cut(const Yaml& part, FitPlan& plan) {
  Fields fields(part, "cut");
  if (const Yaml* macs = fields.find("macs")) {
    Yaml budget = Yaml::empty_map(*macs);
    budget.set("macs", macs->text());
    plan.keep_macs = read_budget(budget).macs_fraction.value_or(plan.keep_macs);
  }
  plan.width_multiple = fields.integer("width_multiple", plan.width_multiple, 1, 1024);
  fields.done();
}

void read_measure(const Yaml& part, FitPlan& plan) {
  Fields fields(part, "measure");
  plan.threads = int(fields.integer("threads", plan.threads, 1, 4096));
  plan.batch = fields.integer("batch", plan.batch, 1, 1 << 20);
  plan.rounds = int(fields.integer("rounds", plan.rounds, 3, 1000));
  fields.done();
}

constexpr const char* kNoCut =
    "asks for fewer multiply-accumulates, which only a cut gives, but nothing is cut";

bool asks_for_a_cut(const FitPlan& plan) {
  return plan.budget.macs_fraction && *plan.budget.macs_fraction < 1;
}

/// Reads the data and makes the network for it.
void prepare(FitPlan& plan, const ModelPart& model) {
  plan.source = std::make_shared<const DataSource>(plan.data);
  plan.network = model.build(plan.seed, plan.source->split(Split::train).get());
}

}  // namespace

FitPlan read_fit_recipe(const Yaml& recipe) {
  Fields fields(recipe, "a recipe");
  fields.find("espalier");
  fields.find("task");
  FitPlan plan;
  const std::string name = fields.string("name", "fit");
  plan.seed = uint64_t(fields.integer("seed", 0));
  const ModelPart model = read_model(fields.require("model"));
  plan.data = read_data(fields.require("data"));
  plan.budget = with_default_drop(read_budget(fields.require("budget")));
  TrainOptions defaults;
  defaults.epochs = 0;
  plan.train = defaults;
  if (const Yaml* part = fields.find("training")) plan.train = read_training(*part, defaults, 0);
  plan.prune = pruning_defaults(plan.train);
  if (const Yaml* part = fields.find("prune"))
    plan.prune = read_training(*part, plan.prune, 0);
  else
    plan.prune.epochs = 0;
  plan.train.seed = plan.prune.seed = plan.seed;
  if (const Yaml* part = fields.find("cut")) read_cut(*part, plan);
  if (const Yaml* part = fields.find("precisions")) {
    plan.precisions.clear();
    for (const Yaml& p : part->items()) {
      if (p.text() != "f32" && p.text() != "bf16" && p.text() != "int8")
        p.fail("precision '" + p.text() + "' is not known", "known: f32, bf16, int8");
      plan.precisions.push_back(p.text());
    }
    if (plan.precisions.empty() || plan.precisions[0] != "f32")
      part->fail("precisions must begin with f32, the baseline");
  }
  plan.calibration_samples = fields.integer("calibration", plan.calibration_samples, 1);
  if (const Yaml* part = fields.find("measure")) read_measure(*part, plan);
  fields.done();
  if (asks_for_a_cut(plan) && plan.prune.epochs == 0)
    fields.require("budget").fail(kNoCut, "add prune: {epochs: N}, which cuts while training");
  if (model.is_untrained() && plan.train.epochs == 0)
    fields.require("model").fail("is a definition: its weights are random until it is trained",
                                 "add training: {epochs: N}");
  plan.model = name + " (" + model.text + ")";
  prepare(plan, model);
  return plan;
}

FitPlan plan_for_model(const std::string& path, const std::string& weights, const std::string& data,
                       const std::string& budget, int64_t train_epochs, int64_t prune_epochs,
                       uint64_t seed) {
  FitPlan plan;
  ModelPart model = model_from_file(path);
  model.weights = weights;
  if (!weights.empty()) model.text += ", weights " + weights;
  plan.data = DataSpec::parse(data);
  plan.budget = with_default_drop(parse_budget(budget));
  plan.seed = seed;
  plan.train.epochs = train_epochs;
  plan.train.seed = seed;
  plan.train.schedule.peak = 0.05;
  if (!model.is_untrained()) tune_gently(plan.train);
  plan.prune = pruning_defaults(plan.train);
  plan.prune.epochs = prune_epochs;
  if (asks_for_a_cut(plan) && plan.prune.epochs == 0)
    throw usage_error("--budget " + budget, kNoCut,
                      "add --prune-epochs N, which cuts while training");
  plan.model = model.text;
  prepare(plan, model);
  return plan;
}

void prepare_fit_folder(const fs::path& folder, bool resume, bool overwrite) {
  std::error_code error;
  const bool used = fs::exists(folder / "journal.json", error) ||
                    fs::exists(folder / "train", error) ||
                    fs::exists(folder / "summary.json", error);
  if (used && !resume && !overwrite)
    throw usage_error(folder.string(), "holds a run already",
                      "--resume goes on with it, --overwrite replaces it, --out names another");
  make_folder(folder);
}

void clear_fit_folder(const fs::path& folder) {
  std::error_code error;
  for (const char* name :
       {"journal.json", "summary.json", "report.html", "model.onnx", "model.plan"})
    fs::remove(folder / name, error);
  for (const char* name : {"stages", "train", "prune"}) fs::remove_all(folder / name, error);
}

}  // namespace espalier

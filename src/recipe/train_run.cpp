#include "recipe/train_run.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/process.h"
#include "base/threads.h"
#include "data/source.h"
#include "formats/safetensors.h"
#include "ir/count.h"
#include "ir/derive.h"
#include "ir/interpret.h"
#include "onnx/export.h"
#include "recipe/at_line.h"
#include "recipe/journal.h"
#include "train/condition.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kRecipe = "recipe.yaml";
constexpr const char* kLog = "log.jsonl";
constexpr const char* kCheckpoints = "checkpoints";
constexpr const char* kSummary = "summary.json";
constexpr const char* kModel = "model.onnx";
constexpr const char* kTrained = "trained.safetensors";
constexpr const char* kCycle = "v_cycle";
constexpr const char* kIncubation = "incubation";

/// Multiply-accumulates of one sample.
double macs_of(const Graph& g, const Dataset& data) {
  Shape one = {1};
  one.insert(one.end(), data.sample_shape().begin(), data.sample_shape().end());
  const TensorType& input = g.value(g.inputs()[0]).tensor();
  if (input.rank() > 0 && input.dims[0].known()) one[0] = input.dims[0].value();
  return cost_of(specialised(g, std::vector<Shape>{one})).macs / double(one[0]);
}

Json to_json(const Evaluation& e, const Dataset& data, bool classes) {
  Json j = {{"data", data.description()}, {"samples", e.samples}, {"loss", e.loss}};
  if (classes) j["accuracy"] = e.accuracy;
  if (!e.dice.empty()) j["dice"] = e.dice;
  if (data.bytes_per_target() > 0) {
    j["perplexity"] = perplexity(e.loss);
    j["bits_per_byte"] = bits_per_byte(e.loss, data.bytes_per_target());
  }
  return j;
}

Json to_json(const EpochReport& e) {
  return {{"epoch", e.epoch},
          {"train_loss", e.train_loss},
          {"train_accuracy", e.train_accuracy},
          {"val_loss", e.val_loss},
          {"val_accuracy", e.val_accuracy},
          {"learning_rate", e.learning_rate},
          {"seconds", e.seconds},
          {"val_seconds", e.val_seconds}};
}

double median(std::vector<float> values) {
  if (values.empty()) return 0;
  std::nth_element(values.begin(), values.begin() + int64_t(values.size() / 2), values.end());
  return values[values.size() / 2];
}

/// UserError where the folder holds a run that may neither go on nor be replaced.
void prepare_run_folder(const TrainRunOptions& options) {
  std::error_code error;
  const bool used = fs::exists(options.folder / kLog, error) ||
                    fs::exists(options.folder / kCheckpoints, error) ||
                    fs::exists(options.folder / kSummary, error) ||
                    fs::exists(options.folder / kCycle, error) ||
                    fs::exists(options.folder / kIncubation, error);
  if (used && !options.resume && !options.overwrite)
    throw usage_error(options.folder.string(), "holds a run already",
                      "--resume goes on with it, --overwrite replaces it, --out names another");
  make_folder(options.folder);
}

void clear_run_folder(const fs::path& folder) {
  std::error_code error;
  for (const char* name : {kRecipe, kLog, kSummary, kModel, kTrained})
    fs::remove(folder / name, error);
  for (const fs::path& file : CheckpointFolder(folder / kCheckpoints).files())
    fs::remove(file, error);
  for (const char* name : {kCycle, kIncubation}) fs::remove_all(folder / name, error);
}

/// What was trained of a network that is frozen otherwise.
void save_trained(const Trainer& trainer, const std::set<std::string>& names,
                  const fs::path& path) {
  TensorFile file;
  for (const std::string& name : names) file.tensors.emplace(name, trainer.state(name));
  save_safetensors(file, path);
}

Json to_json(const PreparedNetwork& n, const AdapterSpec* adapter, const StepMemory& m) {
  Json j = {
      {"params", n.trained_elements},
      {"share", double(n.trained_elements) / double(std::max<int64_t>(1, n.network_elements))}};
  if (n.frozen)
    j["frozen"] = {{"int8_layers", n.frozen->layers},
                   {"float_layers", n.frozen->in_floats},
                   {"relative_error", n.frozen->relative_error}};
  if (adapter) j["adapter"] = adapter->text();
  if (n.adapter) j["merged"] = n.adapter->mergeable;
  j["arena_bytes"] = m.arena;
  j["constant_bytes"] = m.constants;
  j["state_bytes"] = m.states;
  return j;
}

/// A folder for what is trained before the network itself, in folders of its own; that it is the
/// same is what the journal is for.
fs::path folder_before(const char* name, const std::string& text, const TrainRunOptions& options) {
  fs::path folder = options.folder / name;
  make_folder(folder);
  Journal(folder, text).once("begun", [] { return "yes"; });
  return folder;
}

Json to_json(const CycledNetwork& cycled, const Trainer& last) {
  Json stretches = Json::array();
  double macs = macs_of_step(last.step_graph()) * double(last.steps_done());
  for (const CycleStretch& s : cycled.stretches) {
    stretches.push_back({{"size", s.level + 1},
                         {"params", s.parameters},
                         {"epochs", s.history.size()},
                         {"macs", s.macs()},
                         {"val_loss", s.history.back().val_loss}});
    macs += s.macs();
  }
  return {{"macs", macs}, {"stretches", stretches}};
}

Json to_json(const IncubatedNetwork& incubated, const Trainer& last) {
  Json jobs = Json::array();
  double macs = macs_of_step(last.step_graph()) * double(last.steps_done());
  for (const JobReport& j : incubated.jobs) {
    jobs.push_back({{"job", j.name},
                    {"params", j.parameters},
                    {"trained", j.trained},
                    {"epochs", j.history.size()},
                    {"macs", j.macs()},
                    {"bytes", j.memory.total()},
                    {"val_loss", j.history.back().val_loss}});
    macs += j.macs();
  }
  return {{"macs", macs}, {"last_bytes", last.memory().total()}, {"jobs", jobs}};
}

/// A hypernetwork's weights for conditions in equal steps: the means, and each.
Evaluation tested_at_conditions(const Hypernetwork& h, const Graph& trained, const Dataset& test,
                                const TrainOptions& o, Json& each) {
  constexpr int kSteps = 4;
  Evaluation mean;
  each = Json::array();
  for (int i = 0; i <= kSteps; ++i) {
    const float c = float(i) / float(kSteps);
    const Graph plain = h.fixed(trained, Tensor::from<float>({1, 1}, {c}));
    const Evaluation e = evaluate(plain, test, o.loss, o.eval_batch, o.output);
    each.push_back({{"condition", c}, {"loss", e.loss}, {"accuracy", e.accuracy}});
    mean.loss += e.loss / (kSteps + 1);
    mean.accuracy += e.accuracy / (kSteps + 1);
    mean.samples += e.samples;
  }
  return mean;
}

}  // namespace

TrainRun run_training(const TrainRecipe& recipe, const TrainRunOptions& options) {
  if (!options.job.empty() && !recipe.incubation)
    throw usage_error("job " + options.job, "is asked for, but the recipe has no incubation",
                      "its training section needs the key incubation");
  prepare_run_folder(options);
  const DataSource source(recipe.data);
  // All three are needed; a missing one is told before the work.
  const auto train = source.split(Split::train), val = source.split(Split::val),
             test = source.split(Split::test);
  TrainOptions training = recipe.training;
  Graph first;
  if (recipe.parametrization) {
    ParametrizedNetwork p = parametrized_network(recipe.model, *recipe.parametrization,
                                                 training.optimizer, training.seed, train.get());
    first = std::move(p.graph);
    training.rate_factors = std::move(p.rate_factors);
  } else {
    first = recipe.model.build(training.seed, train.get());
  }
  const PreparedNetwork network = prepared_network(deployed(first, training.norms), recipe.trained,
                                                   train, training.seed, training.precision);
  training.trained = network.trained;
  ConditionDraws draws(1, training.seed);
  CarriedStates carried;
  std::vector<TrainHook*> hooks;
  if (network.hypernetwork) hooks.push_back(&draws);
  std::optional<VCycleTrainer> cycle;
  if (recipe.v_cycle) {
    at_line(recipe.v_cycle->place,
            [&] { cycle.emplace(network.graph, train, val, training, recipe.v_cycle->cycle); });
    training = last_options(training);
    hooks.push_back(&carried);
  }
  std::optional<IncubationTrainer> incubation;
  if (recipe.incubation) {
    at_line(recipe.incubation->place, [&] {
      incubation.emplace(network.graph, train, val, training, recipe.incubation->incubation);
    });
    if (!options.job.empty()) incubation->check_job(options.job);
    training = last_options(training);
    hooks.push_back(&carried);
  }
  Trainer trainer(network.graph, train, val, training,
                  {options.folder / kCheckpoints, options.folder / kLog}, hooks);
  // An earlier run goes only now that this one is known to be possible.
  if (options.overwrite && !options.resume) clear_run_folder(options.folder);
  const bool goes_on = options.resume && trainer.resume(options.any_threads);
  if (goes_on) log_info("going on after step " + std::to_string(trainer.steps_done()));
  write_file_atomic(options.folder / kRecipe, recipe.source.dump());
  TrainRun run;
  CycledNetwork cycled;
  if (cycle) {
    cycled = cycle->train({folder_before(kCycle, recipe.v_cycle->cycle.text(), options),
                           options.resume, options.any_threads});
    for (const CycleStretch& s : cycled.stretches)
      run.steps += s.history.empty() ? 0 : s.history.back().steps;
    if (!cycled.finished) return run;
    carried.give(cycled.states, cycled.steps);
  }
  IncubatedNetwork incubated;
  if (incubation) {
    const fs::path jobs = folder_before(kIncubation, recipe.incubation->incubation.text(), options);
    incubated = incubation->train({jobs, options.resume, options.any_threads, options.job});
    for (const JobReport& j : incubated.jobs)
      run.steps += j.history.empty() ? 0 : j.history.back().steps;
    if (incubated.only_finished) run.job = read_file(jobs / options.job / "job.json");
    if (!incubated.finished) return run;
    carried.give(incubated.values, 0);
  }
  const TrainResult result = trainer.train();
  const int64_t peak = peak_resident_bytes();
  run.finished = result.finished;
  run.steps += trainer.steps_done();
  if (!result.finished) return run;

  const Graph trained = network.merged(trainer.network());
  export_onnx(trained, options.folder / kModel);
  if (network.trained) save_trained(trainer, *network.trained, options.folder / kTrained);
  Json conditions;
  const Graph plain = network.hypernetwork
                          ? network.hypernetwork->fixed(trainer.network(), middle_condition(1))
                          : trained;
  const Evaluation tested =
      network.hypernetwork
          ? tested_at_conditions(*network.hypernetwork, trainer.network(), *test, training,
                                 conditions)
          : evaluate(trained, *test, training.loss, training.eval_batch, training.output);
  const bool classes = recipe.training.loss == Loss::kCrossEntropy;
  run.test_accuracy = tested.accuracy;
  run.test_loss = tested.loss;
  run.text = test->bytes_per_target() > 0;
  run.val_accuracy = result.history.back().val_accuracy;
  run.val_loss = result.history.back().val_loss;
  Json history = Json::array();
  double seconds = 0;
  for (const EpochReport& e : result.history) {
    history.push_back(to_json(e));
    seconds += e.seconds + e.val_seconds;
  }
  Json summary = {
      {"recipe", recipe.name},
      {"model", recipe.model.text},
      {"params", parameter_count(trained)},
      {"macs", macs_of(plain, *train)},
      {"data", train->description()},
      {"epochs", recipe.training.epochs},
      {"steps", run.steps},
      {"batch", trainer.options().batch},
      {"optimizer",
       {{"kind", recipe.training.optimizer.kind},
        {"states", recipe.training.optimizer.states.text()},
        {"state_bytes", trainer.optimizer_bytes()}}},
      {"saved_activations",
       {{"stored", recipe.training.saved_activations ? text_of(*recipe.training.saved_activations)
                                                     : "as computed"},
        {"bytes", trainer.saved_bytes()}}},
      {"trained",
       to_json(network, recipe.trained.adapt ? &*recipe.trained.adapt : nullptr, trainer.memory())},
      {"precision", std::string(name_of(recipe.training.precision))},
      {"seed", recipe.training.seed},
      {"threads", num_threads()},
      {"test", to_json(tested, *test, classes)},
      {"history", history},
      {"timing",
       {{"seconds", seconds},
        {"step_ms", median(trainer.step_ms())},
        {"process_peak_bytes", peak}}}};
  if (!training.rule.backpropagates()) {
    summary["rule"] = {{"kind", training.rule.kind}};
    // What an earlier process asked for is not known here.
    if (!goes_on && trainer.queries() > 0) summary["rule"]["queries"] = trainer.queries();
  }
  if (cycle) summary[kCycle] = to_json(cycled, trainer);
  if (incubation) summary[kIncubation] = to_json(incubated, trainer);
  if (recipe.parametrization) summary["parametrization"] = recipe.parametrization->exponents.text();
  if (network.hypernetwork) summary["conditions"] = conditions;
  run.summary = summary.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  write_file_atomic(options.folder / kSummary, run.summary);
  return run;
}

}  // namespace espalier

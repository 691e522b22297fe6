#include "cli/bench_step.h"

#include "base/error.h"
#include "base/rng.h"
#include "cli/values.h"
#include "compress/frozen_part.h"
#include "recipe/trained_part.h"
#include "runtime/random_input.h"
#include "train/recompute.h"
#include "train/selection.h"
#include "train/step.h"

namespace espalier::cli {
namespace {

/// As a recipe's `training: {only: ...}`.
Selection selection_of(const std::string& only) {
  const Yaml training = Yaml::parse("only: " + only + "\n", "--only");
  Fields fields(training, "--only");
  Selection selection = read_trained_part(fields).only;
  fields.done();
  return selection;
}

TimedStep training_step(const Graph& network, StepOptions options, DType precision) {
  options.precision = precision;
  StepGraph step = sparing(build_training_step(network, options));
  std::map<std::string, Tensor> given = std::move(step.extra_inputs);
  if (step.step != kNoValue)
    given.emplace(step.graph.value(step.step).name, Tensor::scalar<int64_t>(1));
  return {std::move(step.graph), std::move(step.initial), std::move(given),
          std::string(name_of(precision))};
}

/// Errors do not matter to how long a step takes: all layers go onto integers, calibrated on as few
/// samples as the network takes at once.
Graph with_integers(const Graph& network, const StepOptions& options, DType floats) {
  constexpr uint64_t kBatches = 2;
  constexpr double kAnyError = 1e9;
  Shape few = options.input;
  const TensorType& input = network.value(network.inputs()[0]).tensor();
  if (!input.dims.empty() && !input.dims[0].known()) few[0] = 1;
  std::vector<std::vector<Tensor>> batches;
  for (uint64_t b = 0; b < kBatches; ++b)
    batches.push_back({random_input({options.input_type, few}, Rng(0, b))});
  return frozen_on_integers(network, *options.trained, batches, kAnyError, floats).network;
}

}  // namespace

void StepArgs::add_to(CLI::App& app) {
  app.add_option("--train", precision,
                 "Time a training step (cross-entropy) in f32, bf16 or auto: what is faster here");
  std::string optimizers;
  for (const std::string& name : optimizer_names())
    optimizers += (optimizers.empty() ? "" : ", ") + name;
  app.add_option("--optimizer", optimizer, "Of that step: " + optimizers + " (default sgd)");
  app.add_option("--only", only,
                 "What that step trains, as in recipes: '[{last_layers: 3}, {biases: true}]'")
      ->option_text("SELECTION")
      ->check(given("what is trained"));
  app.add_option("--frozen", frozen,
                 "Layers before those: float, or int8 (default: float; of --train auto what is "
                 "faster)");
}

void StepArgs::check() const {
  if (precision.empty() && !only.empty())
    throw usage_error("--only", "is of a training step", "say --train f32 as well");
  if (only.empty() && !frozen.empty())
    throw usage_error("--frozen", "is of what a training step leaves as it is",
                      "say --only as well");
  if (!frozen.empty() && frozen != "float" && frozen != "int8")
    throw usage_error("--frozen", "'" + frozen + "' is not known", "choose float or int8");
  if (!precision.empty() && precision != "f32" && precision != "bf16" && precision != "auto")
    throw usage_error("--train", "'" + precision + "' is not known", "choose f32, bf16 or auto");
}

std::vector<TimedStep> training_steps(const StepArgs& args, const Graph& network,
                                      const Shape& input) {
  StepOptions options;
  options.input = input;
  options.input_type = network.value(network.inputs()[0]).tensor().dtype;
  options.optimizer.kind = args.optimizer;
  if (!args.only.empty()) options.trained = selected_parameters(network, selection_of(args.only));
  std::vector<DType> types = {args.precision == "bf16" ? DType::bf16 : DType::f32};
  if (args.precision == "auto") types = {DType::f32, DType::bf16};
  const bool open = args.precision == "auto" && args.frozen.empty() && options.trained;
  const bool floats = args.frozen != "int8";
  const bool integers = !floats || (open && has_frozen_layers(network, *options.trained));
  std::vector<TimedStep> steps;
  for (DType type : types) {
    if (floats) steps.push_back(training_step(network, options, type));
    if (!integers) continue;
    steps.push_back(training_step(with_integers(network, options, type), options, type));
    steps.back().precision += ", frozen layers int8";
  }
  return steps;
}

}  // namespace espalier::cli

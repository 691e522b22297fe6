#include "train/trained_step.h"

#include <vector>

#include "base/error.h"
#include "base/formatted.h"
#include "base/log.h"
#include "train/recompute.h"
#include "train/reversible.h"
#include "train/saved_activations.h"

namespace espalier {
namespace {

void check_targets(const TrainOptions& options, const Dataset& data) {
  const bool labels = data.target_type() == DType::i64;
  if (options.loss == Loss::kCrossEntropy && !labels)
    throw bad_input(data.description(), "has numeric targets, cross-entropy needs labels",
                    "train with the loss mean_squared");
  if (options.loss == Loss::kContrastive && data.classes() != data.size())
    throw bad_input(data.description(),
                    "has other targets than samples' numbers, by which views are told apart",
                    "numbered() gives them");
  if (options.loss == Loss::kMeanSquared && labels)
    throw bad_input(data.description(), "has class labels, mean_squared needs numbers",
                    "train with the loss cross_entropy");
}

void check_classes(const StepGraph& built, const TrainOptions& options, const Dataset& data,
                   const std::string& network) {
  if (options.loss != Loss::kCrossEntropy) return;
  const int64_t answers = built.graph.value(built.logits).tensor().shape().back();
  if (data.classes() <= answers) return;
  const bool text = data.input_type() == DType::i64;
  throw bad_input(
      network,
      "answers with " + std::to_string(answers) + " classes, the data has " +
          std::to_string(data.classes()),
      std::string("set the definition's variable '") + (text ? "vocabulary'" : "classes'"));
}

void check_keeps(const TrainOptions& options, const char* hint) {
  if (!options.rule.backpropagates())
    throw unsupported("rule '" + options.rule.kind + "'",
                      "keeps nothing that could be computed again", hint);
}

/// Ways to keep less from the forward to the backward pass. What each costs is told.
StepGraph inverted(const StepGraph& built, const TrainOptions& options) {
  check_keeps(options, "leave reversible out");
  ReversibleStep r = reversible(built);
  log_info(options.name +
           formatted(": %lld couplings are inverted: %.3g MB of the forward pass are kept "
                     "instead of %.3g",
                     (long long)r.couplings, double(r.saved) / 1e6, double(r.saved_before) / 1e6));
  return std::move(r.step);
}

StepGraph within_limit(StepGraph built, const TrainOptions& options) {
  check_keeps(options, "leave the limit of memory out");
  FittedStep fitted = within_memory(built, options.memory);
  if (fitted.again == 0) return built;
  log_info(options.name +
           formatted(": %lld nodes are computed again: %.3g MB instead of %.3g, %.0f %% more "
                     "multiply-accumulates of the forward pass",
                     (long long)fitted.again, double(fitted.memory.total()) / 1e6,
                     double(fitted.before) / 1e6, 100 * fitted.extra));
  return std::move(fitted.step);
}

TrainedStep stored(const StepGraph& built, const TrainOptions& options) {
  StoredActivations s = storing_activations(built, *options.saved_activations);
  log_info(options.name +
           formatted(": %lld activations are kept in 8 bits: %.3g MB instead of %.3g",
                     (long long)s.values, double(s.after) / 1e6, double(s.before) / 1e6));
  return {std::move(s.step), s.after};
}

std::vector<StepExtension> extensions_of(std::span<TrainHook* const> hooks) {
  std::vector<StepExtension> extensions;
  for (TrainHook* hook : hooks)
    extensions.push_back({[hook](StepGraph& g) { hook->on_gradients(g); },
                          [hook](StepGraph& g) { hook->on_updates(g); },
                          [hook](StepGraph& g) { hook->on_loss(g); }});
  return extensions;
}

}  // namespace

TrainedStep trained_step(const Graph& network, const TrainOptions& options, const Dataset& data,
                         std::span<TrainHook* const> hooks) {
  check_targets(options, data);
  StepGraph built = build_training_step(network, step_options(options, data), extensions_of(hooks));
  check_classes(built, options, data, network.name);
  const bool keeps = options.rule.backpropagates();
  if (options.reversible) built = inverted(built, options);
  if (options.memory > 0)
    built = within_limit(std::move(built), options);
  else if (!options.reversible && !options.saved_activations && keeps)
    built = sparing(built);
  if (options.saved_activations) return stored(built, options);
  const int64_t saved = keeps ? saved_bytes(built) : 0;
  return {std::move(built), saved};
}

}  // namespace espalier

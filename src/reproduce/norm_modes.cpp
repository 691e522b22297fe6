// Tune mode of convolution and batch normalisation (You et al. 2023): whether fine-tuning with the
// factors of frozen statistics in the weights gives the gradients and the accuracy of eval mode at
// the cost of deploy mode, and whether deploy mode is the less stable one.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "reproduce/gradient_error.h"
#include "reproduce/reproduce.h"
#include "reproduce/transfer.h"
#include "reproduce/tuning_tally.h"
#include "runtime/timing.h"
#include "train/divergence.h"
#include "train/step_session.h"

namespace espalier {
namespace {

/// One mode in the whole comparison.
struct Contender {
  NormMode mode = NormMode::kEval;
  std::string name;
  double rate = 0;      ///< of the least validation loss
  double highest = -1;  ///< the highest that ends near the best validation accuracy
  int64_t diverged = 0;
  Tally accuracy, at_eval_rate;
  StepMemory memory;
  double step_ms = 0;
};

TuningTask in_mode(TuningTask task, NormMode mode) {
  task.training.norms = {{mode, {}}};
  return task;
}

/// Nothing where it diverged.
std::optional<TuningOutcome> outcome_at(const TuningTask& task, double rate) {
  try {
    return tuned(task, parse_tuning_method("full"), rate);
  } catch (const UserError& e) {
    if (!is_divergence(e)) throw;
    return std::nullopt;
  }
}

/// Tries all rates, which rise.
void sweep(Contender& c, const TuningTask& task, const std::vector<double>& rates, double points) {
  std::vector<double> accuracy;
  double least = INFINITY, best = 0;
  for (double rate : rates) {
    const auto out = outcome_at(task, rate);
    accuracy.push_back(out ? 100 * out->last().val_accuracy : -INFINITY);
    if (!out) {
      ++c.diverged;
      continue;
    }
    best = std::max(best, accuracy.back());
    if (out->last().val_loss >= least) continue;
    least = out->last().val_loss;
    c.rate = rate;
  }
  if (!std::isfinite(least))
    throw bad_input("mode " + c.name, "diverges at every rate", "name smaller rates");
  for (size_t i = 0; i < rates.size(); ++i)
    if (accuracy[i] >= best - points) c.highest = rates[i];
}

/// The gradients of its parameters on the first batch, by name.
std::map<std::string, Tensor> gradients_in(const TuningTask& task) {
  TrainOptions o = task.training;
  o.optimizer.weight_decay = 0;
  o.batch = std::min(o.batch, task.train->size());
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < o.batch; ++i) rows.push_back(i);
  const StepExtension told = gradients_told();
  return gradients_of(build_training_step(task.network, step_options(o, *task.train), {&told, 1}),
                      task.train->fetch(rows));
}

/// The median, over channels, of scale / sqrt(var + epsilon) of the factors that are folded: by the
/// paper, updates of folded weights are too long where it is below 1.
double median_factor(const Graph& network) {
  const Graph folded = deployed(network, {{NormMode::kDeploy, {}}});
  std::vector<double> factors;
  for (ValueId v : network.constants()) {
    const Value& value = network.value(v);
    const ValueId now = folded.find(value.name);
    if (value.role != Role::kParameter || value.tensor().rank() < 2 || now == kNoValue) continue;
    const Tensor &before = *value.constant, &after = *folded.value(now).constant;
    if (before.identical(after)) continue;
    const int64_t channels = before.shape()[0], each = before.size() / channels;
    for (int64_t c = 0; c < channels; ++c)
      if (const double w = before.at(c * each); w != 0)
        factors.push_back(std::abs(after.at(c * each) / w));
  }
  if (factors.empty()) return 1;
  std::ranges::nth_element(factors, factors.begin() + std::ptrdiff_t(factors.size() / 2));
  return factors[factors.size() / 2];
}

/// Steps on the same batch, in turn.
void time_steps(const TuningTask& task, std::vector<Contender>& all, int64_t rounds) {
  std::vector<std::unique_ptr<StepSession>> sessions;
  std::vector<std::function<void()>> turns;
  for (Contender& c : all) {
    TuningStep step = step_of(in_mode(task, c.mode), parse_tuning_method("full"));
    sessions.push_back(std::make_unique<StepSession>(std::move(step.graph)));
    c.memory = sessions.back()->memory();
    turns.emplace_back([s = sessions.back().get(), batch = step.batch] { s->run(batch, 0, 1); });
  }
  const auto times = time_alternating(
      turns, {.rounds = int(rounds), .seconds_per_turn = 0.1, .least_runs = 3, .warmup_runs = 3});
  for (size_t i = 0; i < all.size(); ++i) all[i].step_ms = times[i].median_ms;
}

void add(const Contender& c, nlohmann::ordered_json& to) {
  const std::string k = c.name + "_";
  to[k + "arena_bytes"] = c.memory.arena;
  to[k + "planned_bytes"] = c.memory.total();
  to[k + "step_ms"] = c.step_ms;
  to[k + "rate"] = c.rate;
  to[k + "accuracy"] = 100 * c.accuracy.mean();
  to[k + "accuracy_at_eval_rate"] = 100 * c.at_eval_rate.mean();
  to[k + "highest_rate"] = c.highest;
  to[k + "rates_diverged"] = c.diverged;
}

}  // namespace

Findings measure_norm_modes(Fields& recipe, const MeasureOptions& options) {
  const Transfer transfer = read_transfer(recipe);
  const int64_t seeds = recipe.integer("seeds", 3, 2, 100);
  const int64_t rounds = recipe.integer("rounds", 9, 1, 1000);
  const double most_error = recipe.number("most_gradient_error", 1e-5, 0, 1);
  const double points = recipe.number("most_points_lost", 0.5, 0, 100);
  const double near = recipe.number("near_points", 5, 0, 100);
  const double over_deploy = recipe.number("most_over_deploy", 1.1, 1, 100);
  std::vector<double> rates;
  for (const Yaml& r : recipe.require("rates").items()) rates.push_back(r.number());
  if (rates.empty() || !std::ranges::is_sorted(rates))
    recipe.require("rates").fail("is no rising list of rates");
  recipe.done();
  TransferStart start = started(transfer, options.seed);
  TuningTask& task = start.task;
  const double error = largest_difference(gradients_in(in_mode(task, NormMode::kEval)),
                                          gradients_in(in_mode(task, NormMode::kTune)));
  std::vector<Contender> all;
  for (NormMode mode : {NormMode::kTrain, NormMode::kEval, NormMode::kTune, NormMode::kDeploy})
    all.push_back({.mode = mode, .name = norm_mode_names()[size_t(mode)]});
  time_steps(task, all, rounds);
  // What trains by batch statistics is another method; here its cost alone is told.
  Contender &train = all[0], &eval = all[1], &tune = all[2], &deploy = all[3];
  Contender* const trained[] = {&eval, &tune, &deploy};
  task.training.seed = options.seed + 1000;
  for (Contender* c : trained) sweep(*c, in_mode(task, c->mode), rates, near);
  for (int64_t s = 0; s < seeds; ++s) {
    task.training.seed = options.seed + uint64_t(s);
    for (Contender* c : trained) {
      const TuningTask own = in_mode(task, c->mode);
      const auto tested = [&](double rate) {
        const auto out = outcome_at(own, rate);
        return out ? out->tested.accuracy : 0.0;
      };
      c->at_eval_rate.add(tested(eval.rate));
      c->accuracy.add(c->rate == eval.rate ? c->at_eval_rate.values.back() : tested(c->rate));
    }
  }
  const Tally lost = paired(eval.at_eval_rate, tune.at_eval_rate),
              gain = paired(tune.at_eval_rate, deploy.at_eval_rate);
  Findings f;
  f.baseline["train_arena_bytes"] = train.memory.arena;
  f.baseline["train_step_ms"] = train.step_ms;
  add(eval, f.baseline);
  add(deploy, f.baseline);
  add(tune, f.measured);
  f.measured["gradient_error"] = error;
  f.measured["points_lost_to_eval"] = 100 * lost.mean();
  f.measured["points_lost_standard_error"] = 100 * lost.error();
  f.measured["points_over_deploy"] = 100 * gain.mean();
  f.measured["points_over_deploy_standard_error"] = 100 * gain.error();
  f.measured["speedup_over_eval"] = eval.step_ms / tune.step_ms;
  f.measured["time_of_deploy"] = tune.step_ms / deploy.step_ms;
  f.measured["memory_of_eval"] = double(tune.memory.total()) / double(eval.memory.total());
  f.measured["median_factor"] = median_factor(task.network);
  f.measured["first_accuracy"] = 100 * start.first.accuracy;
  f.measured["seeds"] = seeds;
  f.holds = error <= most_error && tune.memory.total() < eval.memory.total() &&
            tune.step_ms < eval.step_ms && tune.step_ms <= over_deploy * deploy.step_ms &&
            100 * lost.mean() <= points && gain.mean() > gain.error();
  return f;
}

}  // namespace espalier

// DeepZero (Chen et al. 2024) against random directions: the same network learns from losses alone,
// once by coordinate-wise differences with layers' shares and feature reuse, once by slopes along
// random directions, which may spend their losses on many directions or on many steps. Then the
// time of an estimate with and without feature reuse.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <sstream>

#include "base/error.h"
#include "base/log.h"
#include "data/source.h"
#include "ir/count.h"
#include "recipe/recipe.h"
#include "reproduce/reproduce.h"
#include "reproduce/tuning_tally.h"
#include "runtime/timing.h"
#include "train/divergence.h"
#include "train/estimator.h"
#include "train/step_session.h"

namespace espalier {
namespace {

struct Task {
  ModelPart model;
  std::shared_ptr<const Dataset> train, val, test;
  TrainOptions training;
  std::vector<double> rates;
  int64_t seeds = 3;
  uint64_t seed = 0;
};

/// One way to gradients, and what it reached.
struct Learner {
  std::string name;
  Rule rule;
  int64_t epochs = 0, epoch_steps = 0;
  double rate = 0;
  bool at_edge = false;
  Tally accuracy = {}, val_accuracy = {};
  int64_t queries = 0;  ///< of one training, the most
};

struct Outcome {
  double val_accuracy = 0, test_accuracy = 0;
  int64_t queries = 0;
};

Outcome learned(const Task& task, const Learner& l, double rate, uint64_t seed) {
  TrainOptions o = task.training;
  o.rule = l.rule;
  // As large a part of the steps rises.
  o.schedule.warmup *= double(l.epochs) / double(o.epochs);
  o.epochs = l.epochs;
  o.epoch_steps = l.epoch_steps;
  o.schedule.peak = rate;
  o.seed = seed;
  o.log_every = 0;
  o.name = l.name;
  Trainer trainer(task.model.build(seed, task.train.get()), task.train, nullptr, o);
  Outcome out;
  try {
    if (!trainer.train().finished) throw usage_error("reproduce", "was interrupted");
    out.val_accuracy = 100 * trainer.evaluate(*task.val).accuracy;
    out.test_accuracy = 100 * trainer.evaluate(*task.test).accuracy;
  } catch (const UserError& e) {
    // A rate at which it diverges has learnt nothing.
    if (!is_divergence(e)) throw;
  }
  out.queries = trainer.queries();
  return out;
}

/// The best of the rates on a seed that is not counted, then the others.
void run(const Task& task, Learner& l) {
  double best = -1;
  for (double rate : task.rates) {
    const Outcome o = learned(task, l, rate, task.seed + 1000);
    log_info(l.name + " at " + std::to_string(rate) + ": " + std::to_string(o.val_accuracy) +
             " % of the validation samples");
    l.queries = std::max(l.queries, o.queries);
    if (o.val_accuracy <= best) continue;
    best = o.val_accuracy;
    l.rate = rate;
  }
  l.at_edge =
      task.rates.size() > 1 && (l.rate == task.rates.front() || l.rate == task.rates.back());
  for (int64_t s = 0; s < task.seeds; ++s) {
    const Outcome o = learned(task, l, l.rate, task.seed + uint64_t(s));
    l.accuracy.add(o.test_accuracy);
    l.val_accuracy.add(o.val_accuracy);
    l.queries = std::max(l.queries, o.queries);
  }
  log_info(l.name + ": " + std::to_string(l.accuracy.mean()) + " % of the test samples");
}

/// What a learner asks for before its first step, and in each.
struct Asked {
  int64_t before = 0, each = 0;
};

Asked asked_by(const Task& task, Learner l) {
  l.epochs = 1;
  l.epoch_steps = 1;
  const int64_t one = learned(task, l, task.rates.front(), task.seed + 1000).queries;
  l.epoch_steps = 2;
  const int64_t two = learned(task, l, task.rates.front(), task.seed + 1000).queries;
  if (two <= one)
    throw bad_input(l.name, "diverges in its first step, so what a step asks for is not known",
                    "begin the rates with a lower one");
  return {one - (two - one), two - one};
}

/// The learner that is best on the validation samples.
const Learner& best_of(const std::vector<Learner>& learners) {
  return *std::ranges::max_element(learners, {},
                                   [](const Learner& l) { return l.val_accuracy.mean(); });
}

/// How long an estimate takes with and without reuse, and whether both are the same to the bit.
struct Reuse {
  double with_ms = 0, without_ms = 0, ratio = 0;
  double largest_difference = 0;
  bool identical = true;
};

Reuse measured_reuse(const Task& task, Rule rule, int rounds) {
  std::vector<std::unique_ptr<StepSession>> sessions;
  std::vector<std::vector<Tensor>> estimates(2);
  std::vector<std::function<void()>> runs;
  TrainOptions o = task.training;
  o.batch = std::min(o.batch, task.train->size());
  std::vector<int64_t> first(static_cast<size_t>(o.batch));
  std::iota(first.begin(), first.end(), int64_t{0});
  const Batch batch = task.train->fetch(first);
  const Graph network = task.model.build(task.seed, task.train.get());
  for (size_t i = 0; i < 2; ++i) {
    rule.settings["reuse"] = i == 0 ? 1 : 0;
    o.rule = rule;
    sessions.push_back(
        std::make_unique<StepSession>(build_training_step(network, step_options(o, *task.train))));
    StepSession* s = sessions.back().get();
    runs.push_back([s, &batch, &estimates, i] {
      estimates[i] = s->graph().estimator->gradients(*s, batch, 1);
    });
  }
  const std::vector<Timing> times =
      time_alternating(runs, {.rounds = rounds, .least_runs = 1, .warmup_runs = 1});
  Reuse r{times[0].median_ms, times[1].median_ms, speedup(times[1], times[0])};
  for (size_t p = 0; p < estimates[0].size(); ++p) {
    r.identical = r.identical && estimates[0][p].identical(estimates[1][p]);
    for (int64_t e = 0; e < estimates[0][p].size(); ++e)
      r.largest_difference =
          std::max(r.largest_difference, std::abs(estimates[0][p].at(e) - estimates[1][p].at(e)));
  }
  return r;
}

std::string shortest(double v) {
  std::ostringstream s;
  s << v;
  return s.str();
}

std::vector<double> read_numbers(const Yaml& part, double least) {
  std::vector<double> numbers;
  for (const Yaml& n : part.items()) {
    numbers.push_back(n.number());
    if (!(numbers.back() >= least) || !std::isfinite(numbers.back()))
      n.fail("must be at least " + std::to_string(least));
  }
  if (numbers.empty()) part.fail("is an empty list");
  return numbers;
}

void report(const Learner& l, nlohmann::ordered_json& into, const std::string& prefix) {
  into[prefix + "accuracy"] = l.accuracy.mean();
  into[prefix + "standard_error"] = l.accuracy.error();
  into[prefix + "rate"] = l.rate;
  into[prefix + "rate_at_edge"] = l.at_edge;
  into[prefix + "queries"] = l.queries;
  into[prefix + "steps"] = l.epochs * l.epoch_steps;
  into[prefix + "epochs"] = l.epochs;
}

}  // namespace

Findings measure_zeroth_order(Fields& recipe, const MeasureOptions& options) {
  Task task;
  task.model = read_model(recipe.require("model"));
  const DataSpec data = read_data(recipe.require("data"));
  const Yaml& training = recipe.require("training");
  task.training = read_training(training);
  task.rates = read_numbers(recipe.require("rates"), 1e-9);
  const Rule random = read_rule(recipe.require("random"));
  const Yaml& list = recipe.require("directions");
  const std::vector<double> directions = read_numbers(list, 1);
  std::vector<double> densities;
  if (const Yaml* more = recipe.find("densities")) densities = read_numbers(*more, 1e-6);
  task.seeds = recipe.integer("seeds", 3, 2, 100);
  const double least_ratio = recipe.number("least_ratio", 1.3, 1, 100);
  const auto rounds = int(recipe.integer("rounds", 5, 3, 1000));
  recipe.done();
  if (task.training.rule.kind != "coordinatewise") training.fail("the rule must be coordinatewise");
  if (random.kind != "spsa") recipe.map().fail("random must be of the kind spsa");
  if (task.training.epoch_steps == 0) training.fail("epoch_steps is needed");
  const DataSource source(data);
  task.train = source.split(Split::train);
  task.val = source.split(Split::val);
  task.test = source.split(Split::test);
  task.seed = options.seed;
  const TrainOptions& o = task.training;

  // An epoch has no more steps than the data gives.
  const int64_t most_steps = task.train->size() / std::min(o.batch, task.train->size());
  if (o.epoch_steps > most_steps)
    training.fail("epoch_steps is " + std::to_string(o.epoch_steps) + ", the data has " +
                  std::to_string(most_steps) + " batches");
  if (most_steps < 2) training.fail("the data must have two batches");
  std::vector<Learner> own = {{"coordinatewise", o.rule, o.epochs, o.epoch_steps}};
  run(task, own[0]);
  const int64_t budget = own[0].queries;
  // The same losses on fewer elements of more steps, or on more of fewer.
  for (double density : densities) {
    Learner l = {"coordinatewise of density " + shortest(density), o.rule};
    l.rule.settings["density"] = density;
    const Asked asked = asked_by(task, l);
    const int64_t steps = (budget - asked.before) / asked.each;
    if (steps < 1) continue;
    l.epochs = (steps + most_steps - 1) / most_steps;
    l.epoch_steps = steps / l.epochs;
    run(task, l);
    own.push_back(std::move(l));
  }
  // Losses that a step at random directions asks for: one at the point, one or two along each.
  std::vector<Learner> others;
  for (double count : directions) {
    Learner l{"spsa of " + std::to_string(int64_t(count)), random};
    l.rule.settings["directions"] = std::floor(count);
    const auto all = all_settings(l.rule.unit().settings, l.rule.settings);
    const int64_t of_step = 1 + int64_t(count) * (all.at("two_sided") != 0 ? 2 : 1);
    // Rounded up: they never get fewer.
    const int64_t steps = (budget + of_step - 1) / of_step;
    l.epochs = (steps + most_steps - 1) / most_steps;
    l.epoch_steps = (steps + l.epochs - 1) / l.epochs;
    run(task, l);
    others.push_back(std::move(l));
  }
  Learner exact{"backprop", Rule{}, o.epochs, o.epoch_steps};
  run(task, exact);
  const Reuse reuse = measured_reuse(task, o.rule, rounds);

  const Learner &ours = best_of(own), &best = best_of(others);
  const Tally gain = paired(ours.accuracy, best.accuracy);
  Findings f;
  f.measured["best"] = ours.name;
  report(ours, f.measured, "");
  for (const Learner& l : own)
    report(l, f.measured,
           "density_" +
               shortest(all_settings(l.rule.unit().settings, l.rule.settings).at("density")) + "_");
  f.measured["points_over_random"] = gain.mean();
  f.measured["points_over_random_error"] = gain.error();
  f.measured["points_below_backprop"] = exact.accuracy.mean() - ours.accuracy.mean();
  f.measured["estimate_ms"] = reuse.with_ms;
  f.measured["reuse_speedup"] = reuse.ratio;
  f.measured["reuse_identical"] = reuse.identical;
  f.measured["reuse_largest_difference"] = reuse.largest_difference;
  f.measured["params"] = parameter_count(task.model.build(task.seed, task.train.get()));
  f.measured["seeds"] = task.seeds;
  f.measured["data"] = task.train->description();
  f.baseline = {{"best", best.name}, {"estimate_ms", reuse.without_ms}};
  report(best, f.baseline, "");
  for (const Learner& l : others)
    report(l, f.baseline,
           "spsa_" + std::to_string(int64_t(l.rule.settings.at("directions"))) + "_");
  f.baseline["backprop_accuracy"] = exact.accuracy.mean();
  f.baseline["backprop_rate"] = exact.rate;
  f.holds = gain.mean() > gain.error() && ours.queries <= best.queries && reuse.identical &&
            reuse.ratio >= least_ratio;
  return f;
}

}  // namespace espalier

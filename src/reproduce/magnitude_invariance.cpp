// Magnitude invariant parametrisations (Ortiz et al. 2023): how many steps hypernetworks need to
// the loss at which the default one ends, when their condition is encoded to constant norm and what
// they generate is added to learned weights. The condition is the angle by which pictures are
// turned.
#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "base/error.h"
#include "base/quietly.h"
#include "data/source.h"
#include "recipe/generator_part.h"
#include "recipe/recipe.h"
#include "reproduce/optimizer_race.h"
#include "reproduce/run_count.h"
#include "reproduce/tuning_tally.h"
#include "train/condition.h"
#include "train/divergence.h"

namespace espalier {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

struct Task {
  ModelPart model;
  std::shared_ptr<const Dataset> train, val, test;
  TrainOptions training;
  double from = 0, to = 0;  ///< degrees
  int64_t conditions = 5;   ///< that losses are means over
};

Tensor condition(double value) { return Tensor::from<float>({1, 1}, {float(value)}); }

/// Means over conditions in equal steps.
Evaluation evaluated(const Hypernetwork& h, const Graph& trained, const Dataset& data,
                     const Task& task) {
  Evaluation mean;
  const auto n = double(task.conditions);
  for (int64_t i = 0; i < task.conditions; ++i) {
    const Graph plain = h.fixed(trained, condition((double(i) + 0.5) / n));
    const Evaluation e = evaluate(plain, data, task.training.loss, task.training.eval_batch);
    mean.loss += e.loss / n;
    mean.accuracy += e.accuracy / n;
    mean.samples += e.samples;
  }
  return mean;
}

/// Validates after each epoch and keeps the norm of each step's gradient.
class Watch : public TrainHook {
 public:
  Watch(const Hypernetwork& h, const Task& task) : h_(h), task_(task) {}

  void on_gradients(StepGraph& s) override {
    Builder b(s.graph);
    ValueId sum = kNoValue;
    for (const StepParameter& p : s.parameters) {
      std::vector<int64_t> axes;
      for (int64_t a = 0; a < b.type(p.gradient).rank(); ++a) axes.push_back(a);
      const ValueId squares = b.reduce_sum(b.mul(p.gradient, p.gradient), axes, false);
      sum = sum == kNoValue ? squares : b.add(sum, squares);
    }
    s.add_output("squared_gradient_norm", sum);
  }
  void after_step(Trainer& t, const StepReport&) override {
    norms.add(std::sqrt(t.output("squared_gradient_norm").at(0)));
  }
  void after_epoch(Trainer& t, const EpochReport&) override {
    losses.push_back(evaluated(h_, t.network(), *task_.val, task_).loss);
  }

  Tally norms;
  std::vector<double> losses;

 private:
  const Hypernetwork& h_;
  const Task& task_;
};

struct Parametrisation {
  std::string name;
  HypernetworkSpec spec;
  double rate = 0;
  bool at_edge = false;
  std::vector<RacedRun> runs;
  Tally accuracy, loss, spread;  ///< on the test split; of gradients' norms
  double growth = 0;             ///< of weights at first, from condition 0.1 to 1
  int64_t learned = 0;
};

double root_mean_square(const Tensor& t) {
  double sum = 0;
  for (int64_t i = 0; i < t.size(); ++i) sum += t.at(i) * t.at(i);
  return std::sqrt(sum / double(t.size()));
}

struct Run {
  RacedRun raced;
  Evaluation tested;
  double spread = 0;  ///< standard deviation of gradients' norms over their mean
};

class Comparison {
 public:
  Comparison(const Task& task, int64_t runs) : task_(task), count_(runs) {}

  Hypernetwork network(const Parametrisation& p, uint64_t seed) const {
    return Hypernetwork(task_.model.build(seed, task_.train.get()), p.spec, seed);
  }

  Run train(const Parametrisation& p, double rate, uint64_t seed, bool tested) {
    TrainOptions o = task_.training;
    o.seed = seed;
    o.schedule.peak = rate;
    o.log_every = 0;
    Run r;
    r.raced.rate = rate;
    r.raced.seed = seed;
    const Hypernetwork h = network(p, seed);
    {
      const Quietly quiet;
      ConditionDraws draws(1, seed);
      Watch watch(h, task_);
      Trainer trainer(with_turned_input(h.graph(), task_.from, task_.to), task_.train, nullptr, o,
                      {}, {&draws, &watch});
      try {
        if (!trainer.train().finished) throw usage_error("reproduce", "was interrupted");
        if (tested) r.tested = evaluated(h, trainer.network(), *task_.test, task_);
      } catch (const UserError& e) {
        if (!is_divergence(e)) throw;
        r.raced.diverged = true;
      }
      r.raced.val_loss = watch.losses;
      const auto n = double(watch.norms.values.size());
      r.spread = n < 2 ? 0 : watch.norms.error() * std::sqrt(n) / watch.norms.mean();
    }
    count_.done(p.name + " at " + std::to_string(rate) + ": loss " +
                std::to_string(r.raced.last()));
    return r;
  }

  void run(Parametrisation& p, const std::vector<double>& rates, uint64_t seed, int64_t seeds) {
    // Chosen on a seed that is not counted.
    double best = kNever;
    p.rate = rates.front();
    for (double rate : rates) {
      const double last = train(p, rate, seed + 1000, false).raced.last();
      if (last >= best) continue;
      best = last;
      p.rate = rate;
    }
    p.at_edge = rates.size() > 1 && (p.rate == rates.front() || p.rate == rates.back());
    for (int64_t s = 0; s < seeds; ++s) {
      const Run r = train(p, p.rate, seed + uint64_t(s), true);
      p.runs.push_back(r.raced);
      p.accuracy.add(100 * r.tested.accuracy);
      p.loss.add(r.raced.diverged ? kNever : r.tested.loss);
      p.spread.add(r.spread);
    }
    const Hypernetwork h = network(p, seed);
    p.growth = root_mean_square(h.weights(h.graph(), condition(1))) /
               root_mean_square(h.weights(h.graph(), condition(0.1)));
    p.learned = h.learned_elements();
  }

 private:
  const Task& task_;
  RunCount count_;
};

nlohmann::ordered_json number_or_never(double v) {
  return std::isfinite(v) ? nlohmann::ordered_json(v) : nlohmann::ordered_json("never");
}

double lowest(const RacedRun& r) {
  return r.val_loss.empty() ? kNever : *std::ranges::min_element(r.val_loss);
}

/// Steps until each seed is as good as the default one ever gets.
Tally steps_to(const Parametrisation& p, const Parametrisation& plain, int64_t epoch_steps) {
  Tally steps;
  for (size_t s = 0; s < p.runs.size(); ++s)
    steps.add(p.runs[s].steps_to(lowest(plain.runs[s]), epoch_steps));
  return steps;
}

Tally last_losses(const Parametrisation& p) {
  Tally t;
  for (const RacedRun& r : p.runs) t.add(r.last());
  return t;
}

void report(const Parametrisation& p, const std::string& prefix, nlohmann::ordered_json& into) {
  const Tally last = last_losses(p);
  into[prefix + "val_loss"] = number_or_never(last.mean());
  into[prefix + "val_loss_deviation"] =
      number_or_never(last.error() * std::sqrt(double(last.values.size())));
  into[prefix + "test_accuracy"] = p.accuracy.mean();
  into[prefix + "test_accuracy_error"] = p.accuracy.error();
  into[prefix + "gradient_norm_spread"] = p.spread.mean();
  into[prefix + "weights_grow_by"] = p.growth;
  into[prefix + "rate"] = p.rate;
  into[prefix + "rate_at_edge"] = p.at_edge;
  into[prefix + "learned"] = p.learned;
}

}  // namespace

Findings measure_magnitude_invariance(Fields& recipe, const MeasureOptions& options) {
  Task task;
  task.model = read_model(recipe.require("model"));
  const DataSpec data = read_data(recipe.require("data"));
  task.training = read_training(recipe.require("training"));
  const Yaml& turn = recipe.require("turn");
  if (turn.items().size() != 2) turn.fail("turn takes two angles, at condition 0 and at 1");
  task.from = turn.items()[0].number();
  task.to = turn.items()[1].number();
  task.conditions = recipe.integer("conditions", 5, 1, 1000);
  Fields generator(recipe.require("generator"), "generator");
  const HypernetworkSpec plain = read_hypernetwork(generator);
  generator.done();
  if (plain.encoded || plain.residual)
    generator.map().fail("the parametrisations are compared, so none is given");
  const double most = recipe.number("most", 0.8, 0, 10);
  const int64_t seeds = recipe.integer("seeds", 3, 2, 100);
  std::vector<double> rates;
  for (const Yaml& r : recipe.require("rates").items()) rates.push_back(r.number());
  if (rates.empty()) recipe.map().fail("names no rate");
  recipe.done();
  const DataSource source(data);
  task.train = source.split(Split::train);
  task.val = source.split(Split::val);
  task.test = source.split(Split::test);

  std::vector<Parametrisation> all;
  for (const auto& [name, encoded, residual] :
       {std::tuple{"plain", false, false}, std::tuple{"encoded", true, false},
        std::tuple{"residual", false, true}, std::tuple{"invariant", true, true}}) {
    Parametrisation p;
    p.name = name;
    p.spec = plain;
    p.spec.encoded = encoded;
    p.spec.residual = residual;
    all.push_back(std::move(p));
  }
  Comparison comparison(task, int64_t(all.size()) * (int64_t(rates.size()) + seeds));
  for (Parametrisation& p : all) comparison.run(p, rates, options.seed, seeds);
  const int64_t epoch_steps = task.training.epoch_steps > 0
                                  ? task.training.epoch_steps
                                  : task.train->size() / task.training.batch;
  const Parametrisation &base = all[0], &ours = all[3];
  const Tally steps = steps_to(ours, base, epoch_steps);
  const Tally base_steps = steps_to(base, base, epoch_steps);
  const Tally saved = paired(base_steps, steps);
  Findings f;
  f.measured = {{"steps_to_baseline_loss", number_or_never(steps.mean())},
                {"steps_over_baseline", number_or_never(steps.mean() / base_steps.mean())},
                {"least_steps_saved", number_or_never(*std::ranges::min_element(saved.values))}};
  report(ours, "", f.measured);
  for (const size_t i : {size_t{1}, size_t{2}}) {
    f.measured[all[i].name + "_steps_to_baseline_loss"] =
        number_or_never(steps_to(all[i], base, epoch_steps).mean());
    report(all[i], all[i].name + "_", f.measured);
  }
  f.measured["seeds"] = seeds;
  f.measured["data"] = task.train->description();
  f.baseline = {{"steps_to_baseline_loss", number_or_never(base_steps.mean())}};
  report(base, "", f.baseline);
  f.holds = std::isfinite(base_steps.mean()) && steps.mean() <= most * base_steps.mean() &&
            std::ranges::all_of(saved.values, [](double s) { return s > 0; });
  return f;
}

}  // namespace espalier

// V-cycle training (Zou et al. 2024) against training from scratch: the multiply-accumulates until
// the validation loss is that with which training from scratch ends; and what interpolation does,
// and what training from scratch reaches with as many multiply-accumulates.
#include "compress/v_cycle.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "base/error.h"
#include "base/log.h"
#include "base/quietly.h"
#include "reproduce/rated_task.h"
#include "reproduce/rates.h"
#include "reproduce/reproduce.h"
#include "reproduce/tuning_tally.h"
#include "train/divergence.h"

namespace espalier {
namespace {

/// What had been spent when the network was evaluated.
struct Point {
  double macs = 0, seconds = 0, val_loss = 0;
};

/// One training: evaluations of the network itself, not of its smaller copies.
struct Curve {
  std::vector<Point> points;
  double test_loss = kNever;

  double last() const { return points.empty() ? kNever : points.back().val_loss; }
  /// What was spent when the validation loss first was `loss`, between evaluations by a line;
  /// infinite where it never was.
  double spent(double loss, double Point::*what) const {
    for (size_t i = 0; i < points.size(); ++i) {
      if (points[i].val_loss > loss) continue;
      if (i == 0) return points[i].*what;
      const Point &a = points[i - 1], &b = points[i];
      const double part = (a.val_loss - loss) / (a.val_loss - b.val_loss);
      return a.*what + part * (b.*what - a.*what);
    }
    return kNever;
  }
};

/// A way to train.
struct Contender {
  std::string name;
  int64_t epochs = 0;  ///< of the network itself; after the cycle, where there is one
  std::optional<VCycle> cycle = {};
  double rate = 0;
  bool at_edge = false;
  std::vector<Curve> curves = {};

  Tally val_loss() const {
    Tally t;
    for (const Curve& c : curves) t.add(c.last());
    return t;
  }
  Tally test_loss() const {
    Tally t;
    for (const Curve& c : curves) t.add(c.test_loss);
    return t;
  }
  /// Of each seed, as a part of all that `of` spends on it, until its last validation loss.
  Tally part_of(const Contender& of, double Point::*what) const {
    Tally t;
    for (size_t i = 0; i < curves.size(); ++i)
      t.add(curves[i].spent(of.curves[i].last(), what) / (of.curves[i].points.back().*what));
    return t;
  }
  double macs() const { return curves.front().points.back().macs; }
};

/// Adds a stretch's epochs to what was spent, and to the curve where the network is the whole one.
void spend(Curve& curve, Point& so_far, const std::vector<EpochReport>& history, double step_macs,
           bool whole) {
  int64_t steps = 0;
  for (const EpochReport& e : history) {
    so_far.macs += step_macs * double(e.steps - steps);
    so_far.seconds += e.seconds;
    so_far.val_loss = e.val_loss;
    steps = e.steps;
    if (whole) curve.points.push_back(so_far);
  }
}

Curve trained(const RatedTask& task, const Contender& c, double rate, uint64_t seed) {
  TrainOptions o = task.training;
  o.epochs = c.epochs;
  o.schedule.peak = rate;
  o.seed = seed;
  o.log_every = 0;
  o.name = c.name;
  const Graph network = task.model.build(seed, task.train.get());
  const auto check = [](bool finished) {
    if (!finished) throw usage_error("reproduce", "was interrupted");
  };
  const Quietly quietly;
  Curve curve;
  Point so_far;
  try {
    CarriedStates carried;
    std::vector<TrainHook*> hooks;
    if (c.cycle) {
      const CycledNetwork cycled =
          VCycleTrainer(network, task.train, task.val, o, *c.cycle).train();
      check(cycled.finished);
      for (const CycleStretch& s : cycled.stretches)
        spend(curve, so_far, s.history, s.step_macs, s.level == 0);
      carried.give(cycled.states, cycled.steps);
      hooks.push_back(&carried);
      o = last_options(o);
    }
    Trainer trainer(network, task.train, task.val, o, {}, hooks);
    const TrainResult result = trainer.train();
    check(result.finished);
    spend(curve, so_far, result.history, macs_of_step(trainer.step_graph()), true);
    curve.test_loss = trainer.evaluate(*task.test).loss;
  } catch (const UserError& e) {
    if (!is_divergence(e)) throw;
    curve.points.clear();  // a rate at which it diverges has learnt nothing
  }
  return curve;
}

/// The best of the rates on a seed that is not counted, then the seeds that are.
void run(const RatedTask& task, Contender& c, uint64_t seed, int64_t seeds) {
  double best = kNever;
  for (double rate : task.rates) {
    const double loss = trained(task, c, rate, seed + kTuningSeeds).last();
    std::ostringstream line;
    line << c.name << " at " << rate << ": validation loss " << loss;
    log_info(line.str());
    if (c.rate != 0 && !(loss < best)) continue;
    best = loss;
    c.rate = rate;
  }
  c.at_edge =
      task.rates.size() > 1 && (c.rate == task.rates.front() || c.rate == task.rates.back());
  for (int64_t s = 0; s < seeds; ++s) {
    c.curves.push_back(trained(task, c, c.rate, seed + uint64_t(s)));
    if (c.curves.back().points.empty())
      throw bad_input("reproduce", c.name + " diverged at the rate " + std::to_string(c.rate) +
                                       ", which was the best for another seed");
  }
  std::ostringstream line;
  line << c.name << ": validation loss " << c.val_loss().mean();
  log_info(line.str());
}

/// JSON has no infinity.
nlohmann::ordered_json or_never(double v) {
  return std::isfinite(v) ? nlohmann::ordered_json(v) : nlohmann::ordered_json("never");
}

void report(const Contender& c, const Contender& scratch, nlohmann::ordered_json& into) {
  into[c.name + "_rate"] = c.rate;
  into[c.name + "_rate_at_edge"] = c.at_edge;
  into[c.name + "_gigamacs"] = c.macs() / 1e9;
  into[c.name + "_val_loss"] = c.val_loss().mean();
  into[c.name + "_val_loss_error"] = c.val_loss().error();
  into[c.name + "_test_loss"] = c.test_loss().mean();
  if (&c == &scratch) return;
  const Tally macs = c.part_of(scratch, &Point::macs);
  into[c.name + "_macs_to_loss"] = or_never(macs.mean());
  if (std::isfinite(macs.mean())) into[c.name + "_macs_to_loss_error"] = macs.error();
  into[c.name + "_seconds_to_loss"] = or_never(c.part_of(scratch, &Point::seconds).mean());
}

}  // namespace

Findings measure_v_cycle(Fields& recipe, const MeasureOptions& options) {
  RatedTask task;
  task.model = read_model(recipe.require("model"));
  const DataSpec data = read_data(recipe.require("data"));
  task.training = read_training(recipe.require("training"));
  task.rates = read_rates(recipe.require("rates"));
  const Yaml& cycle_at = recipe.require("v_cycle");
  const VCycle cycle = read_v_cycle(cycle_at).cycle;
  if (cycle.alpha == 1) cycle_at.fail("interpolates nothing", "alpha: 0.5");
  const int64_t last_epochs = recipe.require_integer("last_epochs", 1);
  const int64_t seeds = recipe.integer("seeds", 3, 1, 100);
  const double most = recipe.number("most", 0.8, 0, 10);
  recipe.done();
  task.load(data);

  Contender scratch{"scratch", task.training.epochs};
  Contender with_cycle{"v_cycle", last_epochs, cycle};
  Contender uninterpolated{"uninterpolated", last_epochs, cycle};
  uninterpolated.cycle->alpha = 1;
  for (Contender* c : {&scratch, &with_cycle, &uninterpolated}) run(task, *c, options.seed, seeds);
  // From scratch with as many multiply-accumulates as the cycle, rounded up to an epoch.
  const double epoch_macs = scratch.macs() / double(scratch.epochs);
  Contender equal{"equal_macs", int64_t(std::ceil(with_cycle.macs() / epoch_macs - 1e-9))};
  run(task, equal, options.seed, seeds);

  Findings f;
  report(with_cycle, scratch, f.measured);
  report(scratch, scratch, f.baseline);
  report(equal, scratch, f.baseline);
  report(uninterpolated, scratch, f.baseline);
  const Tally gained = paired(equal.val_loss(), with_cycle.val_loss());
  f.measured["below_equal_macs"] = gained.mean();
  f.measured["below_equal_macs_error"] = gained.error();
  f.measured["seeds"] = seeds;
  f.measured["data"] = task.train->description();
  f.holds = with_cycle.part_of(scratch, &Point::macs).mean() <= most && gained.mean() > 0 &&
            uninterpolated.part_of(scratch, &Point::macs).mean() >
                with_cycle.part_of(scratch, &Point::macs).mean();
  return f;
}

}  // namespace espalier

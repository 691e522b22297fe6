// Modules trained in a frozen meta model (Deep Incubation, Ni et al. 2022) against the same network
// trained whole with as many multiply-accumulates, and against modules trained without a meta
// model.
#include "compress/incubation.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "base/error.h"
#include "base/log.h"
#include "base/quietly.h"
#include "compress/v_cycle.h"
#include "reproduce/rated_task.h"
#include "reproduce/rates.h"
#include "reproduce/reproduce.h"
#include "reproduce/tuning_tally.h"
#include "train/divergence.h"

namespace espalier {
namespace {

/// One whole training, jobs and all.
struct Outcome {
  double val_loss = kNever;               ///< infinite where it diverged
  double accuracy = 0, put_together = 0;  ///< of the test data, at the end and before the last part
  double macs = 0, seconds = 0;
  double last_macs = 0;                   ///< of these, of the network as a whole
  int64_t job_bytes = 0, last_bytes = 0;  ///< most of a job; of the network as a whole
  int64_t epoch_steps = 0;
};

/// A way to train.
struct Contender {
  std::string name;
  int64_t epochs = 0;  ///< of the network as a whole
  std::optional<Incubation> incubation = {};
  double rate = 0;
  bool at_edge = false;
  std::vector<Outcome> outcomes = {};

  template <class T>
  Tally tally(T Outcome::*what) const {
    Tally t;
    for (const Outcome& o : outcomes) t.add(double(o.*what));
    return t;
  }
};

double seconds_of(const std::vector<EpochReport>& history) {
  double s = 0;
  for (const EpochReport& e : history) s += e.seconds;
  return s;
}

/// Only what counts is tested.
Outcome trained(const RatedTask& task, const Contender& c, double rate, uint64_t seed,
                bool counts) {
  TrainOptions o = task.training;
  o.epochs = c.epochs;
  o.schedule.peak = rate;
  o.seed = seed;
  o.log_every = 0;
  o.name = c.name;
  const auto check = [](bool finished) {
    if (!finished) throw usage_error("reproduce", "was interrupted");
  };
  const Quietly quietly;
  Outcome out;
  try {
    Graph network = task.model.build(seed, task.train.get());
    if (c.incubation) {
      const IncubatedNetwork incubated =
          IncubationTrainer(network, task.train, task.val, o, *c.incubation).train();
      check(incubated.finished);
      for (const JobReport& j : incubated.jobs) {
        out.macs += j.macs();
        out.seconds += seconds_of(j.history);
        out.job_bytes = std::max(out.job_bytes, j.memory.total());
      }
      network = with_values(network, incubated.values);
      if (counts)
        out.put_together = evaluate(network, *task.test, o.loss, o.eval_batch, o.output).accuracy;
      o = last_options(o);
    }
    Trainer trainer(network, task.train, task.val, o);
    const TrainResult result = trainer.train();
    check(result.finished);
    out.last_macs = macs_of_step(trainer.step_graph()) * double(trainer.steps_done());
    out.macs += out.last_macs;
    out.seconds += seconds_of(result.history);
    out.last_bytes = trainer.memory().total();
    out.epoch_steps = trainer.steps_per_epoch();
    out.val_loss = result.history.back().val_loss;
    if (counts) out.accuracy = trainer.evaluate(*task.test).accuracy;
  } catch (const UserError& e) {
    if (!is_divergence(e)) throw;
    out.val_loss = kNever;  // a rate at which it diverges has learnt nothing
  }
  return out;
}

/// The best of the rates on a seed that is not counted, then the seeds that are.
void run(const RatedTask& task, Contender& c, uint64_t seed, int64_t seeds) {
  double best = kNever;
  c.rate = task.rates.front();
  for (double rate : task.rates) {
    if (task.rates.size() == 1) break;
    const Outcome o = trained(task, c, rate, seed + kTuningSeeds, /*counts=*/false);
    std::ostringstream line;
    line << c.name << " at " << rate << ": validation loss " << o.val_loss << ", " << o.macs / 1e9
         << " GMAC, " << o.seconds << " s";
    log_info(line.str());
    if (!(o.val_loss < best)) continue;
    best = o.val_loss;
    c.rate = rate;
  }
  c.at_edge =
      task.rates.size() > 1 && (c.rate == task.rates.front() || c.rate == task.rates.back());
  for (int64_t s = 0; s < seeds; ++s) {
    c.outcomes.push_back(trained(task, c, c.rate, seed + uint64_t(s), /*counts=*/true));
    if (!std::isfinite(c.outcomes.back().val_loss))
      throw bad_input("reproduce", c.name + " diverged at the rate " + std::to_string(c.rate) +
                                       ", which was the best for another seed");
  }
  std::ostringstream line;
  line << c.name << ": test accuracy " << c.tally(&Outcome::accuracy).mean() << " ("
       << c.tally(&Outcome::accuracy).error() << "), " << c.outcomes.front().macs / 1e9 << " GMAC";
  log_info(line.str());
}

/// As many epochs of each module as take, with the last part, what `macs` is or a little more.
Contender without_meta(const RatedTask& task, std::string name, Around around, const Contender& as,
                       uint64_t seed) {
  const Outcome& o = as.outcomes.front();
  Contender c{std::move(name), as.epochs, as.incubation};
  c.incubation->around = around;
  c.incubation->module_epochs = 1;
  const double epoch = IncubationTrainer(task.model.build(seed, task.train.get()), task.train,
                                         task.val, task.training, *c.incubation)
                           .planned_macs(o.epoch_steps);
  c.incubation->module_epochs = int64_t(std::ceil((o.macs - o.last_macs) / epoch - 1e-9));
  return c;
}

void report(const Contender& c, nlohmann::ordered_json& into) {
  into[c.name + "_rate"] = c.rate;
  into[c.name + "_rate_at_edge"] = c.at_edge;
  into[c.name + "_gigamacs"] = c.outcomes.front().macs / 1e9;
  into[c.name + "_seconds"] = c.tally(&Outcome::seconds).mean();
  into[c.name + "_accuracy"] = c.tally(&Outcome::accuracy).mean();
  into[c.name + "_accuracy_error"] = c.tally(&Outcome::accuracy).error();
  into[c.name + "_val_loss"] = c.tally(&Outcome::val_loss).mean();
  if (!c.incubation) {
    into[c.name + "_bytes"] = c.outcomes.front().last_bytes;
    return;
  }
  into[c.name + "_accuracy_put_together"] = c.tally(&Outcome::put_together).mean();
  into[c.name + "_module_epochs"] = c.incubation->module_epochs;
  into[c.name + "_job_bytes"] = c.outcomes.front().job_bytes;
}

}  // namespace

Findings measure_incubation(Fields& recipe, const MeasureOptions& options) {
  RatedTask task;
  task.model = read_model(recipe.require("model"));
  const DataSpec data = read_data(recipe.require("data"));
  const Yaml& training = recipe.require("training");
  std::optional<IncubationPart> part;
  task.training = read_training(training, {}, 1, nullptr, nullptr, nullptr, &part);
  if (!part) training.fail("has no incubation", "incubation: {meta_epochs: 3, module_epochs: 1}");
  if (part->incubation.around != Around::kMeta)
    part->place.fail("what is compared with the others is around: meta");
  if (task.training.loss != Loss::kCrossEntropy)
    training.fail("accuracies are compared", "loss: cross_entropy");
  task.rates = read_rates(recipe.require("rates"));
  const int64_t seeds = recipe.integer("seeds", 3, 1, 100);
  recipe.done();
  task.load(data);

  Contender incubated{"incubated", task.training.epochs, part->incubation};
  run(task, incubated, options.seed, seeds);
  // Whole, with as many multiply-accumulates, rounded up to an epoch; the warm-up is its own.
  const Outcome& spent = incubated.outcomes.front();
  const double epoch = spent.last_macs / double(incubated.epochs);
  Contender whole{"end_to_end", int64_t(std::ceil(spent.macs / epoch - 1e-9))};
  Contender greedy = without_meta(task, "greedy", Around::kBelow, incubated, options.seed);
  Contender alone = without_meta(task, "alone", Around::kNothing, incubated, options.seed);
  for (Contender* c : {&whole, &greedy, &alone}) run(task, *c, options.seed, seeds);

  Findings f;
  report(incubated, f.measured);
  for (const Contender* c : {&whole, &greedy, &alone}) report(*c, f.baseline);
  const auto gained = [&](const Contender& over) {
    return paired(incubated.tally(&Outcome::accuracy), over.tally(&Outcome::accuracy));
  };
  const Tally over_whole = gained(whole);
  f.measured["above_end_to_end"] = over_whole.mean();
  f.measured["above_end_to_end_error"] = over_whole.error();
  f.measured["above_greedy"] = gained(greedy).mean();
  f.measured["above_alone"] = gained(alone).mean();
  f.measured["seeds"] = seeds;
  f.measured["data"] = task.train->description();
  f.holds = over_whole.mean() > over_whole.error() && gained(greedy).mean() > 0 &&
            gained(alone).mean() > 0 &&
            incubated.outcomes.front().job_bytes < whole.outcomes.front().last_bytes;
  return f;
}

}  // namespace espalier

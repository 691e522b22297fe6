// EVA (Paischer et al. 2024): whether LoRA that begins with the directions in which layers' inputs
// vary most, ranks redistributed, learns faster and further than from random or from the weights'
// singular directions.
#include <algorithm>

#include "base/error.h"
#include "reproduce/reproduce.h"
#include "reproduce/transfer.h"
#include "reproduce/tuning_tally.h"

namespace espalier {
namespace {

const std::vector<std::string> kStarts = {"random", "weights", "activations"};

struct Runs {
  double rate = 0;
  int64_t trained = 0;
  std::vector<std::vector<EpochReport>> histories;
  Tally last;   ///< validation loss at the end
  Tally steps;  ///< to the target
};

/// Steps until the validation loss is at most `target`; one evaluation more than there were where
/// it never is.
double steps_to(const std::vector<EpochReport>& history, double target) {
  for (const EpochReport& e : history)
    if (e.val_loss <= target) return double(e.steps);
  return double(history.back().steps + history.front().steps);
}

struct TaskFindings {
  nlohmann::ordered_json baseline, measured;
  bool holds = false;
};

TaskFindings compare(const Transfer& transfer, const std::string& lora,
                     const std::vector<double>& rates, int64_t seeds, uint64_t seed) {
  TuningTask task = started(transfer, seed).task;
  const std::string prefix = transfer.name + "_";
  std::map<std::string, Runs> by_start;
  for (const std::string& start : kStarts) {
    Runs& runs = by_start[start];
    const TuningMethod method = parse_tuning_method(lora + ",start=" + start);
    // The rate is chosen on a seed that is not counted.
    task.training.seed = seed + 1000;
    runs.rate = tuned_at_best(task, method, rates).rate;
    for (int64_t s = 0; s < seeds; ++s) {
      task.training.seed = seed + uint64_t(s);
      const TuningOutcome out = tuned(task, method, runs.rate);
      runs.trained = out.trained;
      runs.histories.push_back(out.history);
      runs.last.add(out.last().val_loss);
    }
  }
  // What random LoRA reaches in the end, on average, is what all are timed to.
  const double target = by_start["random"].last.mean();
  for (auto& [start, runs] : by_start)
    for (const auto& h : runs.histories) runs.steps.add(steps_to(h, target));
  TaskFindings f;
  const Runs& eva = by_start["activations"];
  f.measured = {{prefix + "steps_to_target", eva.steps.mean()},
                {prefix + "final_loss", eva.last.mean()},
                {prefix + "trained", eva.trained},
                {prefix + "rate", eva.rate}};
  double least_steps = 1e300, least_loss = 1e300;
  for (const char* start : {"random", "weights"}) {
    const Runs& r = by_start[start];
    least_steps = std::min(least_steps, r.steps.mean());
    least_loss = std::min(least_loss, r.last.mean());
    f.baseline[prefix + "steps_" + start] = r.steps.mean();
    f.baseline[prefix + "final_loss_" + start] = r.last.mean();
    f.baseline[prefix + "rate_" + start] = r.rate;
    f.measured[prefix + "loss_below_" + start] = -paired(eva.last, r.last).mean();
    f.measured[prefix + "standard_error_" + start] = paired(eva.last, r.last).error();
  }
  f.baseline[prefix + "steps_to_target"] = least_steps;
  f.baseline[prefix + "final_loss"] = least_loss;
  f.holds = eva.steps.mean() < least_steps && eva.last.mean() < least_loss;
  return f;
}

}  // namespace

Findings measure_adapter_starts(Fields& recipe, const MeasureOptions& options) {
  std::vector<std::pair<Transfer, std::string>> tasks;
  for (const Yaml& part : recipe.require("tasks").items()) {
    Fields fields(part, "tasks");
    const std::string lora = fields.require_string("lora");
    tasks.emplace_back(read_transfer(fields), lora);
    fields.done();
    parse_tuning_method(lora);
  }
  const int64_t seeds = recipe.integer("seeds", 5, 1, 100);
  std::vector<double> rates;
  for (const Yaml& r : recipe.require("rates").items()) rates.push_back(r.number());
  recipe.done();
  if (tasks.empty()) recipe.map().fail("has no tasks");
  Findings f;
  f.holds = true;
  for (const auto& [transfer, lora] : tasks) {
    const TaskFindings own = compare(transfer, lora, rates, seeds, options.seed);
    f.measured.update(own.measured);
    f.baseline.update(own.baseline);
    f.holds = f.holds && own.holds;
  }
  f.measured["seeds"] = seeds;
  return f;
}

}  // namespace espalier

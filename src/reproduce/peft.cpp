// The survey of parameter-efficient fine-tuning (Han et al. 2024): how near methods that train
// about a percent of a network come to training all of it, and what they save.
#include <algorithm>

#include "base/error.h"
#include "reproduce/reproduce.h"
#include "reproduce/transfer.h"
#include "reproduce/tuning_tally.h"

namespace espalier {
namespace {

/// "lora:rank=4" as a part of a key: "lora".
std::string key_of(const std::string& method) { return method.substr(0, method.find(':')); }

struct Runs {
  TuningMethod method;
  double rate = 0;
  TuningOutcome one;
  Tally loss;
};

void add(const Runs& r, nlohmann::ordered_json& to) {
  const std::string k = key_of(r.method.name) + "_";
  to[k + "loss"] = r.loss.mean();
  to[k + "share_percent"] = 100 * r.one.share();
  to[k + "peak_bytes"] = r.one.memory.total();
  to[k + "arena_bytes"] = r.one.memory.arena;
  to[k + "step_ms"] = r.one.step_ms;
  to[k + "rate"] = r.rate;
}

}  // namespace

Findings measure_tuning_methods(Fields& recipe, const MeasureOptions& options) {
  const Transfer transfer = read_transfer(recipe);
  const int64_t seeds = recipe.integer("seeds", 3, 1, 100);
  const double least = recipe.number("least_recovered", 0.8, 0, 1);
  const double most_share = recipe.number("most_share", 0.05, 0, 1);
  std::vector<double> rates;
  for (const Yaml& r : recipe.require("rates").items()) rates.push_back(r.number());
  std::vector<Runs> all;
  for (const Yaml& m : recipe.require("methods").items())
    all.push_back({parse_tuning_method(m.text()), 0, {}, {}});
  recipe.done();
  for (const char* needed : {"full", "head"})
    if (std::ranges::none_of(all, [&](const Runs& r) { return key_of(r.method.name) == needed; }))
      recipe.map().fail(std::string("compares with '") + needed +
                        "', which is not among the methods");
  TransferStart start = started(transfer, options.seed);
  TuningTask& task = start.task;
  const double before =
      evaluate(task.network, *task.test, task.training.loss, task.training.eval_batch).loss;
  for (Runs& r : all) {
    task.training.seed = options.seed + 1000;
    r.rate = tuned_at_best(task, r.method, rates).rate;
    for (int64_t s = 0; s < seeds; ++s) {
      task.training.seed = options.seed + uint64_t(s);
      r.one = tuned(task, r.method, r.rate);
      r.loss.add(r.one.tested.loss);
    }
  }
  const auto named = [&](const char* k) -> const Runs& {
    return *std::ranges::find_if(all, [&](const Runs& r) { return key_of(r.method.name) == k; });
  };
  const Runs &full = named("full"), &head = named("head");
  Findings f;
  f.baseline["loss_before"] = before;
  const Runs* best = nullptr;
  for (const Runs& r : all) {
    const bool baseline = &r == &full || &r == &head;
    add(r, baseline ? f.baseline : f.measured);
    if (!baseline && r.one.share() <= most_share && (!best || r.loss.mean() < best->loss.mean()))
      best = &r;
  }
  if (best) {
    const double recovered = (before - best->loss.mean()) / (before - full.loss.mean());
    f.measured["best"] = best->method.name;
    f.measured["recovered_percent"] = 100 * recovered;
    f.baseline["recovered_percent"] =
        100 * (before - head.loss.mean()) / (before - full.loss.mean());
    f.holds = recovered >= least && best->loss.mean() < head.loss.mean() &&
              best->one.memory.total() < full.one.memory.total();
  }
  f.measured["seeds"] = seeds;
  return f;
}

}  // namespace espalier

// FLoRA (Si et al. 2024): whether Tucker adapters of convolutions learn more than low-rank ones of
// reshaped weights with as many trained parameters.
#include <algorithm>

#include "base/error.h"
#include "reproduce/reproduce.h"
#include "reproduce/transfer.h"
#include "reproduce/tuning_tally.h"

namespace espalier {
namespace {

struct Contender {
  std::string name;
  TuningMethod method;
  double rate = 0;
  int64_t trained = 0;
  Tally accuracy, loss;
};

int64_t trained_by(const TuningTask& task, const TuningMethod& m) {
  return prepared_network(task.network, m.part, task.train, task.training.seed).trained_elements;
}

/// The adapter at the largest rank with at most `most` trained parameters.
TuningMethod within(const TuningTask& task, const std::string& text, int64_t most,
                    const Yaml& place) {
  std::optional<TuningMethod> best;
  for (int64_t rank = 1;; ++rank) {
    const std::string at = std::to_string(rank);
    TuningMethod m = parse_tuning_method(std::string(text).replace(text.find('$'), 1, at));
    const int64_t n = trained_by(task, m);
    // Ranks beyond those of the weights change nothing.
    if (n > most || (best && n == trained_by(task, *best))) break;
    best = std::move(m);
  }
  if (!best) place.fail("'" + text + "' of rank 1 trains more than the others");
  return *best;
}

void add(const Contender& c, nlohmann::ordered_json& to) {
  to["method_" + c.name] = c.method.name;
  to["trained_" + c.name] = c.trained;
  to["rate_" + c.name] = c.rate;
  to["accuracy_" + c.name] = 100 * c.accuracy.mean();
  to["loss_" + c.name] = c.loss.mean();
}

}  // namespace

Findings measure_tucker_adapters(Fields& recipe, const MeasureOptions& options) {
  const Transfer transfer = read_transfer(recipe);
  const int64_t seeds = recipe.integer("seeds", 5, 1, 100);
  const int64_t rank = recipe.integer("lora_rank", 2, 1, 4096);
  const std::string also = recipe.string("also", "");
  std::vector<double> rates;
  for (const Yaml& r : recipe.require("rates").items()) rates.push_back(r.number());
  recipe.done();
  TransferStart start = started(transfer, options.seed);
  TuningTask& task = start.task;
  const std::string tail = also.empty() ? "" : ",also=" + also;
  std::vector<Contender> all;
  // The baseline's parameters are the measure: FLoRA gets no more than the smaller of the two.
  all.push_back(
      {"lora", parse_tuning_method("lora:rank=" + std::to_string(rank) + tail), 0, 0, {}, {}});
  all[0].trained = trained_by(task, all[0].method);
  all.push_back(
      {"lora_square",
       within(task, "lora:rank=$,square=true" + tail, all[0].trained * 11 / 10, transfer.place),
       0,
       0,
       {},
       {}});
  all[1].trained = trained_by(task, all[1].method);
  all.push_back({"flora",
                 within(task, "flora:rank=$" + tail, std::min(all[0].trained, all[1].trained),
                        transfer.place),
                 0,
                 0,
                 {},
                 {}});
  all[2].trained = trained_by(task, all[2].method);
  all.push_back({"full",
                 parse_tuning_method("full"),
                 0,
                 trained_by(task, parse_tuning_method("full")),
                 {},
                 {}});
  // Rates are chosen by validation loss on a seed that is not counted.
  task.training.seed = options.seed + 1000;
  for (Contender& c : all) c.rate = tuned_at_best(task, c.method, rates).rate;
  for (int64_t s = 0; s < seeds; ++s) {
    task.training.seed = options.seed + uint64_t(s);
    for (Contender& c : all) {
      const TuningOutcome out = tuned(task, c.method, c.rate);
      c.accuracy.add(out.tested.accuracy);
      c.loss.add(out.tested.loss);
    }
  }
  const Contender &flora = all[2],
                  &best = all[0].accuracy.mean() > all[1].accuracy.mean() ? all[0] : all[1];
  const Tally gain = paired(flora.accuracy, best.accuracy);
  Findings f;
  f.measured = {{"accuracy", 100 * flora.accuracy.mean()},
                {"loss", flora.loss.mean()},
                {"trained", flora.trained},
                {"gain_points", 100 * gain.mean()},
                {"gain_standard_error", 100 * gain.error()},
                {"seeds", seeds},
                {"first_accuracy", 100 * start.first.accuracy},
                {"method_flora", flora.method.name},
                {"rate_flora", flora.rate}};
  f.baseline = {{"accuracy", 100 * best.accuracy.mean()},
                {"loss", best.loss.mean()},
                {"trained", best.trained},
                {"better_reshaping", best.name}};
  add(all[0], f.baseline);
  add(all[1], f.baseline);
  add(all[3], f.baseline);
  f.holds = gain.mean() > gain.error() && flora.trained <= best.trained;
  return f;
}

}  // namespace espalier

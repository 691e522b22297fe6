// Unified Normalization (Yang et al. 2022): whether transformers that normalise by smoothed moving
// statistics learn as well as with layer normalisation, where batch normalisation does not, and
// whether they answer faster once the normalisation is in the linear layers.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "data/source.h"
#include "ir/interpret.h"
#include "ops/normalization/unified_normalization.h"
#include "recipe/recipe.h"
#include "recipe/tuning.h"
#include "reproduce/reproduce.h"
#include "reproduce/tuning_tally.h"
#include "runtime/session.h"
#include "runtime/timing.h"
#include "train/divergence.h"

namespace espalier {
namespace {

constexpr const char* kKinds[] = {"layer", "batch", "unified"};

struct Task {
  std::string name;
  ModelPart model;
  DataSpec data;
  TrainOptions training;
  int64_t batch = 1;  ///< of inference
};

/// One kind of normalisation in one task.
struct Variant {
  std::string kind;
  double rate = 0;
  Tally loss, accuracy;
  int64_t diverged = 0, skipped = 0;
  Graph network;  ///< of the last seed
  double run_ms = 0;
  int64_t arena_bytes = 0;
};

Task read_task(const Yaml& part) {
  Fields fields(part, "tasks");
  Task t;
  t.name = fields.require_string("name");
  t.model = read_model(fields.require("model"));
  t.data = read_data(fields.require("data"));
  t.training = read_training(fields.require("training"));
  t.batch = fields.integer("batch", 1, 1, 4096);
  fields.done();
  return t;
}

/// The normalisations' kind is the definition's variable `norm`.
TuningTask task_of(const Task& t, TuningTask task, const std::string& kind, uint64_t seed) {
  ModelPart model = t.model;
  model.variables["norm"] = kind;
  task.network = model.build(seed, task.train.get());
  task.training.seed = seed;
  return task;
}

std::optional<TuningOutcome> outcome_of(const TuningTask& task, double rate) {
  try {
    return tuned(task, parse_tuning_method("full"), rate);
  } catch (const UserError& e) {
    if (!is_divergence(e)) throw;
    return std::nullopt;
  }
}

/// The largest number of steps that a normalisation of the network filtered, and of how many.
int64_t steps_skipped(const Graph& g) {
  int64_t most = 0;
  for (ValueId v : g.constants()) {
    const Value& value = g.value(v);
    if (value.role != Role::kBuffer || !value.name.ends_with(".statistics")) continue;
    most = std::max(most, int64_t(value.constant->at(ops::kSkips * value.tensor().shape()[1])));
  }
  return most;
}

/// Samples of the test split, in turn, through all variants.
void time_answers(const Task& t, const Dataset& test, std::vector<Variant>& all, int64_t rounds) {
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < t.batch; ++i) rows.push_back(i % test.size());
  const Tensor input = test.fetch(rows).inputs;
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<std::function<void()>> turns;
  for (Variant& v : all) {
    sessions.push_back(std::make_unique<Session>(
        compile(specialised(v.network, std::vector<Shape>{input.shape()}))));
    v.arena_bytes = int64_t(sessions.back()->program().arena_bytes());
    turns.emplace_back([s = sessions.back().get(), input] { s->run({input}); });
  }
  const auto times = time_alternating(turns, {.rounds = int(rounds)});
  for (size_t i = 0; i < all.size(); ++i) all[i].run_ms = times[i].median_ms;
}

void add(const std::string& task, const Variant& v, nlohmann::ordered_json& to) {
  const std::string k = task + "_" + v.kind + "_";
  to[k + "loss"] = v.loss.mean();
  to[k + "loss_standard_error"] = v.loss.error();
  to[k + "accuracy"] = 100 * v.accuracy.mean();
  to[k + "rate"] = v.rate;
  to[k + "diverged"] = v.diverged;
  to[k + "run_ms"] = v.run_ms;
  to[k + "arena_bytes"] = v.arena_bytes;
}

}  // namespace

Findings measure_unified_norm(Fields& recipe, const MeasureOptions& options) {
  std::vector<Task> tasks;
  for (const Yaml& part : recipe.require("tasks").items()) tasks.push_back(read_task(part));
  if (tasks.empty()) recipe.require("tasks").fail("is an empty list");
  const int64_t seeds = recipe.integer("seeds", 3, 2, 100);
  const int64_t rounds = recipe.integer("rounds", 9, 1, 1000);
  const double most_lost = recipe.number("most_loss_added", 0.01, 0, 1);
  const double faster = recipe.number("least_speedup", 1.03, 1, 1000);
  std::vector<double> rates;
  for (const Yaml& r : recipe.require("rates").items()) rates.push_back(r.number());
  recipe.done();
  Findings f;
  f.holds = true;
  for (const Task& t : tasks) {
    const DataSource source(t.data);
    const TuningTask base{t.name,
                          {},
                          source.split(Split::train),
                          source.split(Split::val),
                          source.split(Split::test),
                          t.training};
    std::vector<Variant> all;
    for (const char* kind : kKinds) {
      Variant& v = all.emplace_back();
      v.kind = kind;
      // The rate of the least validation loss, on a seed that is not counted.
      v.rate = tuned_at_best(task_of(t, base, kind, options.seed + 1000),
                             parse_tuning_method("full"), rates)
                   .rate;
      for (int64_t s = 0; s < seeds; ++s) {
        const auto out = outcome_of(task_of(t, base, kind, options.seed + uint64_t(s)), v.rate);
        if (!out) {
          ++v.diverged;
          continue;
        }
        v.loss.add(out->tested.loss);
        v.accuracy.add(out->tested.accuracy);
        v.network = out->network;
        v.skipped = std::max(v.skipped, steps_skipped(v.network));
      }
      if (v.loss.values.empty())
        throw bad_input(t.name, "diverges with every seed, normalised by " + v.kind);
    }
    time_answers(t, *base.test, all, rounds);
    const Variant &layer = all[0], &batch = all[1], &unified = all[2];
    const Tally lost = paired(unified.loss, layer.loss), gain = paired(batch.loss, unified.loss);
    add(t.name, layer, f.baseline);
    add(t.name, batch, f.baseline);
    add(t.name, unified, f.measured);
    const std::string k = t.name + "_";
    f.measured[k + "loss_over_layer"] = lost.mean();
    f.measured[k + "loss_over_layer_standard_error"] = lost.error();
    f.measured[k + "loss_below_batch"] = gain.mean();
    f.measured[k + "loss_below_batch_standard_error"] = gain.error();
    f.measured[k + "speedup_over_layer"] = layer.run_ms / unified.run_ms;
    f.measured[k + "memory_of_layer"] = double(unified.arena_bytes) / double(layer.arena_bytes);
    f.measured[k + "steps_filtered"] = unified.skipped;
    const double allowed = std::max(2 * lost.error(), most_lost * layer.loss.mean());
    // Losses are paired by seed, which a diverged one would displace.
    f.holds = f.holds && unified.diverged == 0 && layer.diverged == 0 && lost.mean() <= allowed &&
              (batch.diverged > 0 || gain.mean() > gain.error()) &&
              layer.run_ms >= faster * unified.run_ms;
  }
  f.measured["seeds"] = seeds;
  return f;
}

}  // namespace espalier

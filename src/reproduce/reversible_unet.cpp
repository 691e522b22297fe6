// Reversible blocks in a U-Net over volumes (Pendse et al. 2020): whether computing the inputs of
// blocks from their outputs gives the gradients and the answers of the same network trained from
// kept activations, in how much less memory, and how much deeper, wider or larger it may be in as
// much memory.
#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <optional>
#include <span>

#include "base/error.h"
#include "base/log.h"
#include "base/process.h"
#include "base/progress.h"
#include "data/source.h"
#include "ir/derive.h"
#include "recipe/recipe.h"
#include "recipe/tuning.h"
#include "reproduce/gradient_error.h"
#include "reproduce/reproduce.h"
#include "reproduce/tuning_tally.h"
#include "runtime/timing.h"
#include "train/divergence.h"
#include "train/recompute.h"
#include "train/reversible.h"
#include "train/step_session.h"

namespace espalier {
namespace {

using Settings = std::map<std::string, std::string>;
using Json = nlohmann::ordered_json;

/// Gradients smaller than this part of the mean size are compared with that.
constexpr double kLeastNorm = 1e-2;

struct GradientError {
  double largest = 0, whole = 0;
  bool within(double most) const { return largest <= most && whole <= most; }
};

struct Task {
  ModelPart model;
  std::shared_ptr<const Dataset> train, val, test;
  TrainOptions training;
  std::vector<double> rates;

  Graph network(const Settings& settings, uint64_t seed) const {
    ModelPart changed = model;
    for (const auto& [name, value] : settings) changed.variables[name] = value;
    return changed.build(seed, train.get());
  }

  Batch first_batch() const {
    std::vector<int64_t> rows(size_t(std::min(training.batch, train->size())));
    std::iota(rows.begin(), rows.end(), int64_t{0});
    return train->fetch(rows);
  }

  /// A step in batches of the network's own input, which may be larger than the data's.
  StepGraph step(const Graph& network, bool inverted,
                 std::span<const StepExtension> extensions = {}) const {
    Shape sample;
    const TensorType& input = network.value(network.inputs()[0]).tensor();
    for (size_t d = 1; d < input.dims.size(); ++d) sample.push_back(input.dims[d].value());
    TrainOptions o = training;
    o.batch = std::min(o.batch, train->size());
    StepGraph s = build_training_step(network, step_options(o, sample, input.dtype), extensions);
    return inverted ? reversible(s).step : s;
  }

  /// How far the gradients of both ways are apart, of any parameter and of all together.
  GradientError gradient_error(const Graph& network, const Batch& batch) const {
    const StepExtension told = gradients_told();
    const auto kept = gradients_of(step(network, false, {&told, 1}), batch);
    const auto inverted = gradients_of(step(network, true, {&told, 1}), batch);
    return {largest_difference(kept, inverted, kLeastNorm), whole_difference(kept, inverted)};
  }

  /// Trained and tested; nothing where it diverged.
  std::optional<TuningOutcome> outcome(const Settings& settings, bool inverted, double rate,
                                       uint64_t seed) const {
    TuningTask t{
        inverted ? "reversible" : "storing", network(settings, seed), train, val, test, training};
    t.training.seed = seed;
    t.training.reversible = inverted;
    try {
      return tuned(t, parse_tuning_method("full"), rate);
    } catch (const UserError& e) {
      if (!is_divergence(e)) throw;
      return std::nullopt;
    }
  }
};

/// The mean over the classes that are no ground.
double mean_dice(const Evaluation& e) {
  const auto classes = double(e.dice.size() - 1);
  return std::accumulate(e.dice.begin() + 1, e.dice.end(), 0.0) / classes;
}

/// Planned, and as the process' memory in use grows while the step is compiled and run.
struct Taken {
  StepMemory planned;
  int64_t resident = 0;
};

Taken taken(const StepGraph& step, const Batch& batch) {
  constexpr int64_t kSteps = 3;
  const ResidentGrowth growth;
  StepSession session(step);
  for (int64_t i = 1; i <= kSteps; ++i) session.run(batch, 0, i);
  const auto bytes = growth.bytes();
  if (!bytes) throw unsupported("this system", "does not say how much memory a process has in use");
  return {session.memory(), *bytes};
}

/// One way to train a network of one depth, over all seeds.
struct Twin {
  Twin(std::string n, bool i, Settings s)
      : name(std::move(n)), inverted(i), settings(std::move(s)) {}

  std::string name;
  bool inverted;
  Settings settings;
  Taken memory;
  Tally dice, fall;  ///< of the test split; last training loss over the first epoch's
  std::vector<Tally> by_class;
  Graph network;  ///< of the last seed, trained

  void train(const Task& t, double rate, uint64_t seed) {
    const auto out = t.outcome(settings, inverted, rate, seed);
    if (!out) throw bad_input(name, "diverged with seed " + std::to_string(seed));
    network = out->network;
    dice.add(mean_dice(out->tested));
    by_class.resize(out->tested.dice.size());
    for (size_t c = 0; c < by_class.size(); ++c) by_class[c].add(out->tested.dice[c]);
    fall.add(out->last().train_loss / out->history.front().train_loss);
    log_info(name + ", seed " + std::to_string(seed) + ": Dice " +
             std::to_string(dice.values.back()) + ", loss " +
             std::to_string(out->last().train_loss));
  }

  void tell(Json& to, const Task& t) const {
    to[name + "_planned_bytes"] = memory.planned.total();
    to[name + "_arena_bytes"] = memory.planned.arena;
    to[name + "_resident_bytes"] = memory.resident;
    if (dice.values.empty()) return;
    to[name + "_dice"] = dice.mean();
    to[name + "_dice_standard_error"] = dice.error();
    const auto& names = t.test->class_names();
    for (size_t c = 1; c < by_class.size(); ++c)
      to[name + "_dice_" + (c < names.size() ? names[c] : std::to_string(c))] = by_class[c].mean();
  }
};

Settings read_settings(const Yaml& part) {
  Settings s;
  for (const auto& [name, value] : part.entries()) s[name.text()] = value.text();
  return s;
}

std::string text_of(const Settings& settings) {
  std::string text;
  for (const auto& [name, value] : settings)
    text += (text.empty() ? "" : ", ") + name + " " + value;
  return text;
}

/// Of growing settings the last that is planned within the bytes, in one way.
std::string largest_within(const Task& t, const std::vector<Settings>& growing, int64_t bytes,
                           bool inverted) {
  std::string largest = "none of them";
  for (const Settings& s : growing) {
    const StepGraph step = t.step(t.network(s, 0), inverted);
    if (StepSession(step).memory().total() > bytes) break;
    largest = text_of(s);
  }
  return largest;
}

/// What computing anything again needs in as many bytes, beside the multiply-accumulates of the
/// step that keeps all; nothing where it does not fit.
std::optional<double> recomputed_macs(const StepGraph& stored, int64_t bytes) {
  try {
    return cost_of(within_memory(stored, bytes).step.graph).macs / cost_of(stored.graph).macs;
  } catch (const UserError& e) {
    if (e.code() != ExitCode::kInfeasible) throw;
    return std::nullopt;
  }
}

}  // namespace

Findings measure_reversible_unet(Fields& recipe, const MeasureOptions& options) {
  Task t;
  const DataSource data(read_data(recipe.require("data")));
  t.train = data.split(Split::train);
  t.val = data.split(Split::val);
  t.test = data.split(Split::test);
  t.model = read_model(recipe.require("model"));
  t.training = read_training(recipe.require("training"));
  const Settings deeper = read_settings(recipe.require("deeper"));
  std::vector<std::pair<std::string, std::vector<Settings>>> growing;
  for (const auto& [name, list] : recipe.require("growing").entries()) {
    growing.emplace_back(name.text(), std::vector<Settings>());
    for (const Yaml& s : list.items()) growing.back().second.push_back(read_settings(s));
  }
  for (const Yaml& r : recipe.require("rates").items()) t.rates.push_back(r.number());
  const int64_t seeds = recipe.integer("seeds", 3, 2, 100);
  const int64_t rounds = recipe.integer("rounds", 5, 1, 1000);
  const double most_error = recipe.number("most_gradient_error", 1e-4, 0, 1);
  const double least_ratio = recipe.number("least_memory_ratio", 2, 1, 1000);
  const double most_lost = recipe.number("most_dice_apart", 0.01, 0, 1);
  const double most_deeper = recipe.number("most_dice_lost_deeper", 0.02, 0, 1);
  recipe.done();
  if (t.rates.empty()) recipe.map().fail("rates is empty");
  if (t.train->target_shape().empty() || t.train->classes() < 2)
    throw bad_input(t.train->description(), "has no label for each place",
                    "synthetic:phantoms has");

  // What is measured first pays for the kernels that others find made.
  Twin ours("reversible", true, {}), deep("deeper", true, deeper), theirs("storing", false, {}),
      deep_stored("deeper_storing", false, deeper);
  const Batch batch = t.first_batch();
  for (Twin* w : {&ours, &deep, &theirs, &deep_stored})
    w->memory = taken(t.step(t.network(w->settings, options.seed), w->inverted), batch);
  const int64_t cap = theirs.memory.planned.total();

  const Graph first = t.network({}, options.seed);
  const StepGraph kept = t.step(first, false), inverted = t.step(first, true);
  const GradientError first_error = t.gradient_error(first, batch);
  double step_ms[2];
  {
    StepSession a(kept), b(inverted);
    const std::vector<std::function<void()>> turns = {[&] { a.run(batch, 0, 1); },
                                                      [&] { b.run(batch, 0, 1); }};
    const auto times = time_alternating(
        turns, {.rounds = int(rounds), .seconds_per_turn = 0.2, .least_runs = 2, .warmup_runs = 1});
    for (size_t i : {0u, 1u}) step_ms[i] = times[i].median_ms;
  }
  const auto again = recomputed_macs(kept, ours.memory.planned.total());

  // The rate is that of the twin which stores, for all: they compute the same.
  Progress progress("reversible U-Net", int64_t(t.rates.size()) + 3 * seeds, "runs");
  double rate = 0, least = INFINITY;
  for (double r : t.rates) {
    const auto out = t.outcome({}, false, r, options.seed + 1000);
    progress.advance();
    if (!out || out->last().val_loss >= least) continue;
    least = out->last().val_loss;
    rate = r;
  }
  if (rate == 0) throw bad_input("the storing twin", "diverges at every rate");
  for (int64_t s = 0; s < seeds; ++s) {
    const uint64_t seed = options.seed + uint64_t(s);
    for (Twin* w : {&theirs, &ours, &deep}) {
      w->train(t, rate, seed);
      progress.advance();
    }
  }
  const GradientError trained_error = t.gradient_error(ours.network, batch);

  const Tally apart = paired(ours.dice, theirs.dice), lost = paired(theirs.dice, deep.dice);
  const auto ratio = [](int64_t more, int64_t less) { return double(more) / double(less); };
  const double planned = ratio(theirs.memory.planned.arena, ours.memory.planned.arena),
               resident = ratio(theirs.memory.resident, ours.memory.resident);
  Findings f;
  theirs.tell(f.baseline, t);
  deep_stored.tell(f.baseline, t);
  f.baseline["step_ms"] = step_ms[0];
  ours.tell(f.measured, t);
  deep.tell(f.measured, t);
  f.measured["step_ms"] = step_ms[1];
  f.measured["gradient_error"] = first_error.largest;
  f.measured["gradient_error_of_all"] = first_error.whole;
  f.measured["gradient_error_trained"] = trained_error.largest;
  f.measured["gradient_error_of_all_trained"] = trained_error.whole;
  f.measured["arena_ratio"] = planned;
  f.measured["resident_ratio"] = resident;
  f.measured["dice_apart"] = apart.mean();
  f.measured["dice_apart_standard_error"] = apart.error();
  f.measured["deeper_dice_lost"] = lost.mean();
  f.measured["deeper_loss_of_first_epoch"] = deep.fall.mean();
  f.measured["macs_of_storing"] = cost_of(inverted.graph).macs / cost_of(kept.graph).macs;
  f.measured["macs_of_recomputation_in_as_many_bytes"] =
      again ? Json(*again) : Json("does not fit");
  for (const auto& [name, list] : growing) {
    f.baseline["largest_" + name + "_in_cap"] = largest_within(t, list, cap, false);
    f.measured["largest_" + name + "_in_cap"] = largest_within(t, list, cap, true);
  }
  f.measured["rate"] = rate;
  f.measured["rate_at_edge"] =
      t.rates.size() > 1 && (rate == t.rates.front() || rate == t.rates.back());
  f.measured["seeds"] = seeds;
  f.holds = first_error.within(most_error) && trained_error.within(most_error) &&
            planned >= least_ratio && resident >= least_ratio &&
            std::abs(apart.mean()) <= most_lost && deep_stored.memory.planned.total() > cap &&
            deep.memory.planned.total() <= cap && deep.memory.resident <= theirs.memory.resident &&
            lost.mean() <= most_deeper && deep.fall.mean() < 1;
  return f;
}

}  // namespace espalier

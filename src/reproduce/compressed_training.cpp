// COAT (Xi et al. 2025): moments and saved activations in 8-bit floats against a training without,
// and against moments whose range is not expanded: validation losses, seed by seed; and bytes
// beside those of a step in bf16, as they are counted and as memory is planned for them.
#include <algorithm>
#include <cmath>

#include "reproduce/optimizer_race.h"

namespace espalier {
namespace {

/// How far the last validation loss of `a` is above that of `b`, in the mean and at the ends.
struct Above {
  double mean = 0, least = HUGE_VAL, most = -HUGE_VAL;
  Above(const RacedContender& a, const RacedContender& b) {
    for (size_t i = 0; i < a.runs.size(); ++i) {
      const double by = a.runs[i].last() - b.runs[i].last();
      mean += by / double(a.runs.size());
      least = std::min(least, by);
      most = std::max(most, by);
    }
  }
};

/// Moments and what waits for the backward pass.
double counted(const StepBytes& b) { return double(b.states + b.saved); }
/// Everything but parameters.
double planned(const StepBytes& b) { return double(b.states + b.arena); }

void report(const StepBytes& bytes, const std::string& name, nlohmann::ordered_json& into) {
  into[name + "_state_bytes"] = bytes.states;
  into[name + "_saved_bytes"] = bytes.saved;
  into[name + "_arena_bytes"] = bytes.arena;
}

}  // namespace

Findings measure_compressed_training(Fields& recipe, const MeasureOptions& options) {
  OptimizerRace race(recipe, options);
  const double least_ratio = recipe.number("least_ratio", 1.5, 1);
  const double most_above = recipe.number("most_above", 0.01, 0);
  const double naive_above = recipe.number("naive_above", 0.05, 0);
  recipe.done();
  race.require({"uncompressed", "coat", "naive"});
  const Race r = race.run();
  const RacedContender &whole = r.find("uncompressed"), &coat = r.find("coat");
  const RacedContender& naive = r.find("naive");
  const Above above(coat, whole), without(naive, whole);

  Contender narrow = whole.contender;
  narrow.optimizer.states = {DType::bf16, {}};
  const StepBytes wide_states = race.bytes(whole.contender, DType::bf16);
  const StepBytes narrow_states = race.bytes(narrow, DType::bf16);
  const StepBytes compressed = race.bytes(coat.contender, DType::bf16);
  const auto ratio = [&](double (*of)(const StepBytes&), const StepBytes& to) {
    return of(to) / of(compressed);
  };

  Findings f;
  f.measured = {{"counted_ratio", ratio(counted, wide_states)},
                {"counted_ratio_to_bf16_states", ratio(counted, narrow_states)},
                {"planned_ratio", ratio(planned, wide_states)},
                {"planned_ratio_to_bf16_states", ratio(planned, narrow_states)},
                {"val_loss_above", above.mean},
                {"val_loss_above_at_most", above.most},
                {"naive_val_loss_above", without.mean},
                {"naive_val_loss_above_at_least", without.least},
                {"steps", r.steps},
                {"seeds", int64_t(coat.runs.size())},
                {"data", r.data[0]}};
  report(whole, f.baseline);
  report(coat, f.measured);
  report(naive, f.measured);
  report(wide_states, "bf16", f.baseline);
  report(narrow_states, "bf16_with_bf16_states", f.baseline);
  report(compressed, "coat_in_bf16", f.measured);
  f.holds = std::min(ratio(counted, wide_states), ratio(counted, narrow_states)) >= least_ratio &&
            std::min(ratio(planned, wide_states), ratio(planned, narrow_states)) >= least_ratio &&
            above.mean <= most_above && without.mean >= naive_above && without.least > above.most;
  race.forget();
  return f;
}

}  // namespace espalier

// SOAP (Vyas et al. 2024) against AdamW and Shampoo: how many steps, and how much time at the
// measured time of a step, each needs to reach the validation loss at which AdamW ends. All three
// run under the same schedule, so that the others get there before theirs has brought the rate
// down.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "reproduce/optimizer_race.h"

namespace espalier {
namespace {

/// Steps to AdamW's last validation loss, seed by seed; infinite where one never gets there.
double steps_to_baseline(const RacedContender& c, const RacedContender& adamw,
                         int64_t epoch_steps) {
  double sum = 0;
  for (size_t i = 0; i < c.runs.size(); ++i)
    sum += c.runs[i].steps_to(adamw.runs[i].last(), epoch_steps);
  return sum / double(c.runs.size());
}

/// A number for JSON, which has no infinity.
nlohmann::ordered_json number_or_never(double v) {
  return std::isfinite(v) ? nlohmann::ordered_json(v) : nlohmann::ordered_json("never");
}

}  // namespace

Findings measure_soap(Fields& recipe, const MeasureOptions& options) {
  OptimizerRace race(recipe, options);
  const double most = recipe.number("most", 0.8, 0, 10);
  recipe.done();
  race.require({"adamw", "shampoo", "soap"});
  const Race r = race.run();
  const RacedContender &adamw = r.find("adamw"), &shampoo = r.find("shampoo"),
                       &soap = r.find("soap");
  const double soap_steps = steps_to_baseline(soap, adamw, r.epoch_steps);
  const double shampoo_steps = steps_to_baseline(shampoo, adamw, r.epoch_steps);
  const auto steps = double(r.steps);
  const double seconds = steps * adamw.mean_step_ms() / 1e3;
  const double soap_seconds = soap_steps * soap.mean_step_ms() / 1e3;
  const double shampoo_seconds = shampoo_steps * shampoo.mean_step_ms() / 1e3;
  Findings f;
  f.measured = {{"steps", number_or_never(soap_steps)},
                {"seconds", number_or_never(soap_seconds)},
                {"steps_over_adamw", number_or_never(soap_steps / steps)},
                {"seconds_over_adamw", number_or_never(soap_seconds / seconds)},
                {"steps_over_shampoo", number_or_never(soap_steps / shampoo_steps)},
                {"seeds", soap.runs.size()},
                {"data", r.data[0]}};
  f.baseline = {{"steps", r.steps},
                {"seconds", seconds},
                {"shampoo_steps", number_or_never(shampoo_steps)},
                {"shampoo_seconds", number_or_never(shampoo_seconds)}};
  report(soap, f.measured);
  report(adamw, f.baseline);
  report(shampoo, f.baseline);
  f.holds =
      soap_steps <= most * steps && soap_seconds <= most * seconds && soap_steps < shampoo_steps;
  race.forget();
  return f;
}

}  // namespace espalier

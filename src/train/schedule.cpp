#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace espalier {
namespace {

/// From `a` at 0 to `b` at 1 along half a cosine.
double cosine_between(double a, double b, double at) {
  return b + (a - b) * 0.5 * (1 + std::cos(std::numbers::pi * at));
}

}  // namespace

void Schedule::check(const std::string& where) const {
  const auto refuse = [&](const char* what) { throw bad_input(where, what); };
  if (!(peak > 0) || !std::isfinite(peak)) refuse("the learning rate must be positive");
  if (!(floor >= 0 && floor <= 1)) refuse("the floor must lie between 0 and 1");
  if (!(warmup >= 0)) refuse("the warm-up cannot be negative");
  if (!(factor > 0 && factor <= 1)) refuse("the factor must lie above 0 and be at most 1");
  if (!std::is_sorted(milestones.begin(), milestones.end())) refuse("milestones must rise");
}

double learning_rate(const Schedule& s, int64_t step, int64_t steps_per_epoch, int64_t epochs) {
  const double total = double(steps_per_epoch) * double(epochs);
  const double warm = std::min(total, std::round(s.warmup * double(steps_per_epoch)));
  const double at = double(step);
  const double after = total > warm ? (at - warm) / (total - warm) : 0;
  if (s.kind == Schedule::Kind::kOneCycle) {
    if (at < warm) return cosine_between(s.peak / 25, s.peak, at / warm);
    return cosine_between(s.peak, s.peak / 1e4, after);
  }
  if (at < warm) return s.peak * (at + 1) / warm;
  if (s.kind == Schedule::Kind::kCosine) return cosine_between(s.peak, s.peak * s.floor, after);
  double rate = s.peak;
  if (s.kind == Schedule::Kind::kStep)
    for (double milestone : s.milestones)
      if (at >= std::round(milestone * double(steps_per_epoch))) rate *= s.factor;
  return rate;
}

}  // namespace espalier

#include "train/bilevel.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace espalier {
namespace {

/// a += times b.
void add(Variables& a, const Variables& b, double times) {
  if (b.empty()) return;
  if (a.empty()) a.assign(b.size(), 0);
  ESP_CHECK(a.size() == b.size(), "gradients of different sizes");
  for (size_t i = 0; i < a.size(); ++i) a[i] += float(times * double(b[i]));
}

/// now + momentum (estimate - before).
void mix(Variables& estimate, const Variables& now, const Variables& before, double momentum) {
  Variables next = now;
  if (next.empty()) next.assign(estimate.size(), 0);
  add(next, estimate, momentum);
  add(next, before, -momentum);
  estimate = std::move(next);
}

}  // namespace

void PenaltyOptions::check(const std::string& where) const {
  const auto need = [&](bool holds, const char* what) {
    if (!holds) throw bad_input(where, what);
  };
  need(upper_rate >= 0 && lower_rate > 0, "rates must be above 0");
  need(sigma > 0 && sigma_least > 0, "sigma must be above 0");
  need(sigma_power >= 0, "sigma must not grow");
  need(momentum >= 0 && momentum < 1, "the momentum lies from 0 to below 1");
}

PenaltyBilevel::PenaltyBilevel(BilevelProblem& problem, Variables x, Variables y,
                               PenaltyOptions options)
    : problem_(problem), options_(options), x_(std::move(x)), y_(y), z_(std::move(y)) {
  options_.check("penalty bilevel optimisation");
  problem_.project(x_);
}

double PenaltyBilevel::sigma() const {
  return std::max(options_.sigma_least,
                  options_.sigma * std::pow(double(step_ + 1), -options_.sigma_power));
}

PenaltyBilevel::Directions PenaltyBilevel::directions(const Variables& x, const Variables& y,
                                                      const Variables& z, double sigma,
                                                      uint64_t draw) {
  const LevelGradient f = problem_.upper(x, y, draw), at_y = problem_.lower(x, y, draw),
                      at_z = problem_.lower(x, z, draw);
  calls_ += 3;
  Directions d;
  d.x.assign(x.size(), 0);
  add(d.x, f.by_upper, 1);
  add(d.x, at_y.by_upper, 1 / sigma);
  add(d.x, at_z.by_upper, -1 / sigma);
  d.y = at_y.by_lower;
  add(d.y, f.by_lower, sigma);
  d.z = at_z.by_lower;
  return d;
}

void PenaltyBilevel::step() {
  const auto draw = uint64_t(step_);
  const Directions now = directions(x_, y_, z_, sigma(), draw);
  if (step_ == 0) {
    estimate_ = now;
  } else {
    // Without a correction the estimate is the moving mean.
    Directions before = now;
    if (options_.corrected) before = directions(last_x_, last_y_, last_z_, sigma(), draw);
    mix(estimate_.x, now.x, before.x, options_.momentum);
    mix(estimate_.y, now.y, before.y, options_.momentum);
    mix(estimate_.z, now.z, before.z, options_.momentum);
  }
  last_x_ = x_;
  last_y_ = y_;
  last_z_ = z_;
  add(x_, estimate_.x, -options_.upper_rate);
  add(y_, estimate_.y, -options_.lower_rate);
  add(z_, estimate_.z, -options_.lower_rate);
  problem_.project(x_);
  ++step_;
}

}  // namespace espalier

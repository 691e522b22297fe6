// Penalty bilevel optimisation (Kwon et al. 2023): weights of training samples, many of them
// labelled wrongly, learned by first derivatives alone and by differentiating through unrolled
// steps; and on a small problem whose answer is known, how its error falls with the penalty.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/rng.h"
#include "data/label_noise.h"
#include "data/shifted.h"
#include "data/source.h"
#include "recipe/coordinate_check.h"
#include "recipe/recipe.h"
#include "reproduce/reproduce.h"
#include "reproduce/tuning_tally.h"
#include "train/reweighting.h"

namespace espalier {
namespace {

/// f = (y - 2)^2 / 2 + sin(3 x) / 2, g = t^2 + 3 sin(t)^2 with t = y - x: not convex, with its only
/// minimum at y = x, so that the upper level as a function of x is (x - 2)^2 / 2 + sin(3 x) / 2.
class KnownProblem : public BilevelProblem {
 public:
  LevelGradient upper(const Variables& x, const Variables& y, uint64_t) override {
    const double v = y[0] - 2;
    return {v * v / 2 + std::sin(3 * double(x[0])) / 2,
            {float(1.5 * std::cos(3 * double(x[0])))},
            {float(v)}};
  }
  LevelGradient lower(const Variables& x, const Variables& y, uint64_t) override {
    const double t = double(y[0]) - double(x[0]), slope = 2 * t + 3 * std::sin(2 * t);
    return {t * t + 3 * std::sin(t) * std::sin(t), {float(-slope)}, {float(slope)}};
  }
  static double slope(double x) { return x - 2 + 1.5 * std::cos(3 * x); }
};

/// How the error of the penalty's gradient at a point falls with sigma.
double error_order() {
  constexpr float kAt = 0.4f;
  std::vector<double> sigmas, errors;
  for (double sigma = 0.4; sigma > 0.02; sigma /= 2) {
    KnownProblem problem;
    PenaltyOptions o;
    o.upper_rate = 0;  // x stays; y and z find their minima
    o.lower_rate = 0.05;
    o.sigma = o.sigma_least = sigma;
    o.sigma_power = o.momentum = 0;
    PenaltyBilevel solver(problem, {kAt}, {0}, o);
    for (int i = 0; i < 2000; ++i) solver.step();
    const Variables& x = solver.upper();
    const double slope = problem.upper(x, solver.lower_penalised(), 0).by_upper[0] +
                         double(problem.lower(x, solver.lower_penalised(), 0).by_upper[0] -
                                problem.lower(x, solver.lower(), 0).by_upper[0]) /
                             sigma;
    sigmas.push_back(sigma);
    errors.push_back(std::abs(slope - KnownProblem::slope(double(kAt))));
  }
  return log_slope(sigmas, errors);
}

/// How the slope of the true upper level where it ends falls with the gradients asked for; sigma
/// falls and rates follow it, as the analysis has it.
double call_order() {
  std::vector<double> calls, slopes;
  for (int64_t steps = 1000; steps <= 64000; steps *= 4) {
    KnownProblem problem;
    PenaltyOptions o;
    o.upper_rate = 0.01;
    o.lower_rate = 0.05;
    o.momentum = 0;
    o.sigma_least = 1e-6;
    PenaltyBilevel solver(problem, {0.4f}, {0}, o);
    for (int64_t i = 0; i < steps; ++i) solver.step();
    calls.push_back(double(solver.gradient_calls()));
    slopes.push_back(std::max(1e-7, std::abs(KnownProblem::slope(double(solver.upper()[0])))));
  }
  return log_slope(calls, slopes);
}

struct Setup {
  ModelPart model;
  std::shared_ptr<const Dataset> train, val, test;
  double noise = 0.4;
  int64_t trusted = 200, retrain_steps = 0, penalty_steps = 0, outer_steps = 0;
  double retrain_rate = 0.1;
  ReweightingOptions options;
  PenaltyOptions penalty;
};

struct Learned {
  Variables weights;
  int64_t gradients = 0, hessian_products = 0;
  bool finite = true;
};

class Reweighted {
 public:
  Reweighted(const Setup& s, uint64_t seed)
      : setup_(s), seed_(seed), noisy_(with_label_noise(s.train, s.noise, seed)) {
    const std::vector<int64_t> order =
        Rng(seed, stream_of("trusted samples of validation")).permutation(s.val->size());
    const auto n = std::min<int64_t>(s.trusted, s.val->size() / 2);
    trusted_ = in_turn({{s.val, {order.begin(), order.begin() + n}}});
    held_out_ = in_turn({{s.val, {order.begin() + n, order.end()}}});
    network_ = s.model.build(seed, noisy_.get());
  }

  Learned by_penalty(double rate) const {
    Reweighting problem(network_, noisy_, trusted_, options(0));
    PenaltyOptions o = setup_.penalty;
    o.upper_rate = rate;
    PenaltyBilevel solver(problem, problem.equal_weights(), problem.first_parameters(), o);
    for (int64_t i = 0; i < setup_.penalty_steps; ++i) solver.step();
    Learned l = {solver.upper(), solver.gradient_calls(), 0, true};
    for (float w : solver.lower()) l.finite = l.finite && std::isfinite(w);
    return l;
  }

  Learned by_unrolling(double rate) const {
    Reweighting problem(network_, noisy_, trusted_, options(setup_.options.unrolled));
    Learned l = {problem.equal_weights(), 0, 0, true};
    Variables y = problem.first_parameters();
    for (int64_t i = 0; i < setup_.outer_steps; ++i) {
      const LevelGradient d = problem.unrolled_step(l.weights, y, uint64_t(i));
      for (size_t k = 0; k < l.weights.size(); ++k)
        l.weights[k] -= float(rate * double(d.by_upper[k]));
      problem.project(l.weights);
      l.gradients += setup_.options.unrolled + 1;
      l.hessian_products += setup_.options.unrolled;
    }
    for (float w : y) l.finite = l.finite && std::isfinite(w);
    return l;
  }

  /// The network trained anew with those weights, the same steps for everybody.
  Graph retrained(const Variables& weights) const {
    Reweighting problem(network_, noisy_, trusted_, options(0));
    Variables y = problem.first_parameters();
    for (int64_t i = 0; i < setup_.retrain_steps; ++i) {
      const LevelGradient d = problem.lower(weights, y, uint64_t(i) + (uint64_t{1} << 40));
      const double rate = setup_.retrain_rate * (1 - double(i) / double(setup_.retrain_steps));
      for (size_t k = 0; k < y.size(); ++k) y[k] -= float(rate * double(d.by_lower[k]));
    }
    return problem.network(y);
  }
  double validated(const Learned& l) const {
    if (!l.finite) return -1;
    return evaluate(retrained(l.weights), *held_out_, Loss::kCrossEntropy).accuracy;
  }
  double tested(const Variables& weights) const {
    return evaluate(retrained(weights), *setup_.test, Loss::kCrossEntropy).accuracy;
  }

  /// One where the label is right, else zero.
  Variables oracle() const {
    Variables w;
    for (int64_t i = 0; i < noisy_->size(); ++i)
      w.push_back(noisy_->targets().int_at(i) == setup_.train->targets().int_at(i) ? 1.0f : 0.0f);
    return w;
  }
  /// Mean weight of samples labelled rightly less that of the others.
  double told_apart(const Variables& weights) const {
    const Variables right = oracle();
    double sums[2] = {0, 0}, counts[2] = {0, 0};
    for (size_t i = 0; i < right.size(); ++i) {
      sums[right[i] != 0] += double(weights[i]);
      ++counts[right[i] != 0];
    }
    return sums[1] / std::max(1.0, counts[1]) - sums[0] / std::max(1.0, counts[0]);
  }

 private:
  ReweightingOptions options(int64_t unrolled) const {
    ReweightingOptions o = setup_.options;
    o.seed = seed_;
    o.unrolled = unrolled;
    return o;
  }

  const Setup& setup_;
  uint64_t seed_;
  std::shared_ptr<const Dataset> noisy_, trusted_, held_out_;
  Graph network_;
};

struct Contender {
  const char* name;
  Learned (Reweighted::*learn)(double) const;
  double rate = 0;
  Tally accuracy, apart;
  int64_t gradients = 0, hessian_products = 0;
};

}  // namespace

Findings measure_penalty_bilevel(Fields& recipe, const MeasureOptions& options) {
  Setup s;
  const DataSource data(read_data(recipe.require("data")));
  s.train = data.split(Split::train);
  s.val = data.split(Split::val);
  s.test = data.split(Split::test);
  s.model = read_model(recipe.require("model"));
  s.noise = recipe.number("noise", 0.4, 0, 1);
  s.trusted = recipe.integer("trusted", 200, 1);
  s.options.batch = recipe.integer("batch", 50, 1);
  s.options.decay = recipe.number("decay", 1e-4, 0, 1);
  s.options.lower_rate = recipe.number("lower_rate", 0.1, 1e-6, 100);
  s.options.unrolled = recipe.integer("unrolled", 5, 1, 50);
  s.outer_steps = recipe.require_integer("outer_steps", 1);
  s.penalty_steps = recipe.require_integer("penalty_steps", 1);
  s.retrain_steps = recipe.require_integer("retrain_steps", 1);
  s.retrain_rate = recipe.number("retrain_rate", 0.2, 1e-6, 100);
  s.penalty.lower_rate = s.options.lower_rate;
  s.penalty.sigma = recipe.number("sigma", 1, 1e-6, 1e6);
  s.penalty.sigma_power = recipe.number("sigma_power", 1.0 / 3, 0, 2);
  s.penalty.sigma_least = recipe.number("sigma_least", 0.05, 1e-9, 1e6);
  s.penalty.momentum = recipe.number("momentum", 0.9, 0, 0.9999);
  s.penalty.corrected = recipe.boolean("corrected", false);
  const double points = recipe.number("most_points_lost", 0.5, 0, 100);
  std::vector<double> rates;
  for (const Yaml& r : recipe.require("upper_rates").items()) rates.push_back(r.number());
  const int64_t seeds = recipe.integer("seeds", 3, 2, 100);
  recipe.done();
  if (rates.empty()) recipe.map().fail("upper_rates is empty");

  Contender all[] = {{"penalty", &Reweighted::by_penalty, 0, {}, {}, 0, 0},
                     {"unrolling", &Reweighted::by_unrolling, 0, {}, {}, 0, 0}};
  Tally equal, oracle;
  Progress progress("penalty bilevel optimisation", 2 * (int64_t(rates.size()) + seeds), "runs");
  {
    const Reweighted tuning(s, options.seed + 1000);
    for (Contender& c : all) {
      double best = -2;
      for (double rate : rates) {
        const double got = tuning.validated((tuning.*c.learn)(rate));
        log_info(std::string(c.name) + " at " + std::to_string(rate) + ": " + std::to_string(got));
        progress.advance();
        if (got > best) {
          best = got;
          c.rate = rate;
        }
      }
    }
  }
  for (int64_t i = 0; i < seeds; ++i) {
    const Reweighted run(s, options.seed + uint64_t(i));
    for (Contender& c : all) {
      const Learned l = (run.*c.learn)(c.rate);
      c.accuracy.add(l.finite ? run.tested(l.weights) : 0);
      c.apart.add(run.told_apart(l.weights));
      c.gradients = l.gradients;
      c.hessian_products = l.hessian_products;
      progress.advance();
    }
    equal.add(run.tested(Variables(size_t(s.train->size()), 1)));
    oracle.add(run.tested(run.oracle()));
  }
  const Contender &ours = all[0], &theirs = all[1];
  const Tally lost = paired(theirs.accuracy, ours.accuracy);
  const double order = error_order(), by_calls = call_order();
  Findings f;
  f.measured = {{"accuracy", 100 * ours.accuracy.mean()},
                {"standard_error", 100 * ours.accuracy.error()},
                {"gradient_calls", ours.gradients},
                {"hessian_products", ours.hessian_products},
                {"upper_rate", ours.rate},
                {"weight_of_right_over_wrong", ours.apart.mean()},
                {"points_below_unrolling", 100 * lost.mean()},
                {"points_below_unrolling_error", 100 * lost.error()},
                {"order_of_error_in_sigma", order},
                {"order_of_slope_in_calls", by_calls},
                {"seeds", seeds}};
  f.baseline = {{"accuracy", 100 * theirs.accuracy.mean()},
                {"standard_error", 100 * theirs.accuracy.error()},
                {"gradient_calls", theirs.gradients},
                {"hessian_products", theirs.hessian_products},
                {"upper_rate", theirs.rate},
                {"weight_of_right_over_wrong", theirs.apart.mean()},
                {"accuracy_equal_weights", 100 * equal.mean()},
                {"accuracy_right_labels_only", 100 * oracle.mean()}};
  const Tally over_equal = paired(ours.accuracy, equal);
  f.holds = 100 * lost.mean() <= points && ours.gradients < theirs.gradients &&
            ours.hessian_products == 0 && over_equal.mean() > over_equal.error() &&
            std::abs(order - 1) <= 0.2 && by_calls <= -0.3;
  return f;
}

}  // namespace espalier

// Bilevel optimisation by a penalty (Kwon et al. 2023, arXiv:2309.01753):
//
//   min over x in X of f(x, y)  where y minimises g(x, .)
//
// is approached by minimising f(x, y) + (g(x, y) - min over z of g(x, z)) / sigma over x and y. Two
// copies of the lower variable, y and z, and x take steps by first derivatives alone: no second
// derivative, no inner loop, no history.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace espalier {

/// Variables of either level, as numbers one after another.
using Variables = std::vector<float>;

/// A value and its gradients; an empty gradient is zero.
struct LevelGradient {
  double value = 0;
  Variables by_upper, by_lower;
};

/// Two functions that are asked for values and gradients.
class BilevelProblem {
 public:
  virtual ~BilevelProblem() = default;
  /// f and g at (x, y). `draw` names the samples: equal draws, equal samples. Each call counts as
  /// one gradient.
  virtual LevelGradient upper(const Variables& x, const Variables& y, uint64_t draw) = 0;
  virtual LevelGradient lower(const Variables& x, const Variables& y, uint64_t draw) = 0;
  /// Onto X, a convex set; by default everything.
  virtual void project(Variables&) const {}
};

struct PenaltyOptions {
  /// The upper variable must be slow beside the lower ones, the more so with plain momentum, or it
  /// runs ahead of what they tell it.
  double upper_rate = 0.01, lower_rate = 0.1;
  /// Step k, from 0, has sigma (k + 1)^-sigma_power, at least sigma_least.
  double sigma = 1, sigma_power = 1.0 / 3, sigma_least = 1e-3;
  /// Of the estimates of all three directions; 0: the gradients themselves.
  double momentum = 0.9;
  /// Recursive momentum (STORM, Cutkosky & Orabona 2019, arXiv:1905.10018): what the estimate held
  /// is corrected by the same samples' gradients where the last step began. Twice the gradients.
  bool corrected = false;
  /// UserError for values that cannot be used; `where` names the options.
  void check(const std::string& where) const;
};

class PenaltyBilevel {
 public:
  /// The problem must outlive it. y and z both start at `y`.
  PenaltyBilevel(BilevelProblem& problem, Variables x, Variables y, PenaltyOptions options);

  void step();
  const Variables& upper() const { return x_; }
  /// Nearly a minimum of sigma f + g, and of g.
  const Variables& lower_penalised() const { return y_; }
  const Variables& lower() const { return z_; }
  double sigma() const;
  int64_t steps() const { return step_; }
  int64_t gradient_calls() const { return calls_; }

 private:
  struct Directions {
    Variables x, y, z;
  };
  Directions directions(const Variables& x, const Variables& y, const Variables& z, double sigma,
                        uint64_t draw);

  BilevelProblem& problem_;
  PenaltyOptions options_;
  Variables x_, y_, z_, last_x_, last_y_, last_z_;
  Directions estimate_;
  int64_t step_ = 0, calls_ = 0;
};

}  // namespace espalier

// Comparing the speed of things on a noisy machine: alternating rounds, medians, spread.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace espalier {

struct TimingOptions {
  int rounds = 7;                  ///< each contender runs once per round
  double seconds_per_turn = 0.05;  ///< a turn repeats its contender for at least so long …
  int least_runs = 3;              ///< … and at least so often
  int warmup_runs = 3;
};

/// Times of one contender, in milliseconds per run.
struct Timing {
  /// Medians over rounds of each round's median, p10 and p90: a slow round counts no less for
  /// having had few runs.
  double median_ms = 0, p10_ms = 0, p90_ms = 0;
  double least_ms = 0;  ///< of all runs: what limits are made of, for noise only adds
  double mad_ms = 0;    ///< median absolute deviation of the rounds' medians
  int64_t runs = 0;
  std::vector<double> round_medians;
};

/// Runs the contenders in turn, round by round, so that drifts of the clock and of the machine's
/// load meet all alike.
std::vector<Timing> time_alternating(std::span<const std::function<void()>> contenders,
                                     const TimingOptions& options = {});

/// The median over rounds of base / other: above 1, `other` is faster.
double speedup(const Timing& base, const Timing& other);

/// `other` is slower than `base`: by more than 3 % and by more than twice the median absolute
/// deviation (of the noisier of the two).
bool slower(const Timing& base, const Timing& other);

}  // namespace espalier

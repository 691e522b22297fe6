#include "runtime/timing.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/error.h"

namespace espalier {
namespace {

double quantile(std::vector<double> values, double q) {
  ESP_CHECK(!values.empty(), "a quantile of nothing");
  const size_t k = std::min(values.size() - 1, size_t(q * double(values.size())));
  std::nth_element(values.begin(), values.begin() + int64_t(k), values.end());
  return values[k];
}

std::vector<double> one_turn(const std::function<void()>& run, const TimingOptions& options) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> times;
  const auto begin = Clock::now();
  const auto end = begin + std::chrono::duration<double>(options.seconds_per_turn);
  do {
    const auto start = Clock::now();
    run();
    times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  } while (Clock::now() < end || int(times.size()) < options.least_runs);
  return times;
}

}  // namespace

std::vector<Timing> time_alternating(std::span<const std::function<void()>> contenders,
                                     const TimingOptions& options) {
  std::vector<Timing> timings(contenders.size());
  std::vector<std::vector<double>> low(contenders.size()), high(contenders.size());
  for (const auto& run : contenders)
    for (int i = 0; i < options.warmup_runs; ++i) run();
  for (int round = 0; round < options.rounds; ++round)
    for (size_t i = 0; i < contenders.size(); ++i) {
      const auto times = one_turn(contenders[i], options);
      timings[i].round_medians.push_back(quantile(times, 0.5));
      low[i].push_back(quantile(times, 0.1));
      high[i].push_back(quantile(times, 0.9));
      const double least = *std::min_element(times.begin(), times.end());
      timings[i].least_ms = round == 0 ? least : std::min(timings[i].least_ms, least);
      timings[i].runs += int64_t(times.size());
    }
  for (size_t i = 0; i < contenders.size(); ++i) {
    Timing& t = timings[i];
    t.median_ms = quantile(t.round_medians, 0.5);
    t.p10_ms = quantile(low[i], 0.5);
    t.p90_ms = quantile(high[i], 0.5);
    std::vector<double> deviations;
    for (double m : t.round_medians) deviations.push_back(std::abs(m - t.median_ms));
    t.mad_ms = quantile(deviations, 0.5);
  }
  return timings;
}

double speedup(const Timing& base, const Timing& other) {
  ESP_CHECK(base.round_medians.size() == other.round_medians.size(), "rounds belong together");
  std::vector<double> ratios;
  for (size_t i = 0; i < base.round_medians.size(); ++i)
    ratios.push_back(base.round_medians[i] / other.round_medians[i]);
  return quantile(ratios, 0.5);
}

bool slower(const Timing& base, const Timing& other) {
  const double excess = other.median_ms - base.median_ms;
  return excess > 0.03 * base.median_ms && excess > 2 * std::max(base.mad_ms, other.mad_ms);
}

}  // namespace espalier

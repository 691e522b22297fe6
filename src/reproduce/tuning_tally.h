// What runs of several seeds amount to.
#pragma once

#include <cmath>
#include <vector>

namespace espalier {

/// A few numbers: mean, standard error of the mean.
struct Tally {
  std::vector<double> values;

  void add(double v) { values.push_back(v); }
  double mean() const {
    double sum = 0;
    for (double v : values) sum += v;
    return values.empty() ? 0 : sum / double(values.size());
  }
  /// Of the mean, by the numbers' own spread; 0 for fewer than two.
  double error() const {
    if (values.size() < 2) return 0;
    double squares = 0;
    for (double v : values) squares += (v - mean()) * (v - mean());
    const auto n = double(values.size());
    return std::sqrt(squares / (n - 1) / n);
  }
};

/// The differences a[i] - b[i] of runs that share a seed.
inline Tally paired(const Tally& a, const Tally& b) {
  Tally d;
  for (size_t i = 0; i < a.values.size() && i < b.values.size(); ++i)
    d.add(a.values[i] - b.values[i]);
  return d;
}

}  // namespace espalier

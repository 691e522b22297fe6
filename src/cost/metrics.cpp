#include "cost/metrics.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "base/error.h"

namespace espalier {
namespace {

/// Pairs within runs of equal neighbours.
template <class Equal>
int64_t tied_pairs(size_t n, Equal equal) {
  int64_t pairs = 0, run = 1;
  for (size_t i = 1; i <= n; ++i) {
    if (i < n && equal(i - 1, i)) {
      ++run;
      continue;
    }
    pairs += run * (run - 1) / 2;
    run = 1;
  }
  return pairs;
}

/// Sorts `v` and returns how many pairs stood in the wrong order.
int64_t sort_counting(std::vector<double>& v) {
  std::vector<double> merged(v.size());
  int64_t inversions = 0;
  for (size_t width = 1; width < v.size(); width *= 2) {
    for (size_t begin = 0; begin < v.size(); begin += 2 * width) {
      const size_t middle = std::min(begin + width, v.size());
      const size_t end = std::min(begin + 2 * width, v.size());
      size_t left = begin, right = middle;
      for (size_t to = begin; to < end; ++to) {
        if (right == end || (left < middle && v[left] <= v[right])) {
          merged[to] = v[left++];
        } else {
          inversions += int64_t(middle - left);
          merged[to] = v[right++];
        }
      }
    }
    v.swap(merged);
  }
  return inversions;
}

}  // namespace

double mean_relative_error(std::span<const double> predicted, std::span<const double> actual) {
  ESP_CHECK(predicted.size() == actual.size() && !actual.empty(), "one prediction for each number");
  double sum = 0;
  for (size_t i = 0; i < actual.size(); ++i) sum += std::abs(predicted[i] - actual[i]) / actual[i];
  return sum / double(actual.size());
}

double kendall_tau(std::span<const double> a, std::span<const double> b) {
  ESP_CHECK(a.size() == b.size(), "one number for each number");
  const size_t n = a.size();
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t i, size_t k) { return a[i] != a[k] ? a[i] < a[k] : b[i] < b[k]; });
  std::vector<double> by_a(n);
  for (size_t i = 0; i < n; ++i) by_a[i] = b[order[i]];
  const int64_t pairs = int64_t(n) * (int64_t(n) - 1) / 2;
  const int64_t tied_a =
      tied_pairs(n, [&](size_t i, size_t k) { return a[order[i]] == a[order[k]]; });
  const int64_t tied_both = tied_pairs(
      n, [&](size_t i, size_t k) { return a[order[i]] == a[order[k]] && by_a[i] == by_a[k]; });
  const int64_t discordant = sort_counting(by_a);
  const int64_t tied_b = tied_pairs(n, [&](size_t i, size_t k) { return by_a[i] == by_a[k]; });
  const double scale = std::sqrt(double(pairs - tied_a)) * std::sqrt(double(pairs - tied_b));
  if (scale == 0) return 0;
  return double(pairs - tied_a - tied_b + tied_both - 2 * discordant) / scale;
}

}  // namespace espalier

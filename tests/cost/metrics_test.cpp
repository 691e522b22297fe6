#include "cost/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/rng.h"

namespace espalier {
namespace {

/// Pair by pair.
double slow_tau(const std::vector<double>& a, const std::vector<double>& b) {
  double agree = 0, untied_a = 0, untied_b = 0;
  const auto sign = [](double x) { return x > 0 ? 1 : x < 0 ? -1 : 0; };
  for (size_t i = 0; i < a.size(); ++i)
    for (size_t k = 0; k < i; ++k) {
      agree += sign(a[i] - a[k]) * sign(b[i] - b[k]);
      untied_a += a[i] != a[k] ? 1 : 0;
      untied_b += b[i] != b[k] ? 1 : 0;
    }
  return untied_a == 0 || untied_b == 0 ? 0 : agree / std::sqrt(untied_a * untied_b);
}

TEST(Kendall, IsWhatPairsSay) {
  for (const uint64_t values : {2, 7, 1000})  // many ties, some, hardly any
    for (const size_t n : {2, 3, 10, 65, 130}) {
      const Rng rng(n, values);
      std::vector<double> a, b;
      for (size_t i = 0; i < n; ++i) {
        a.push_back(double(rng.below(2 * i, values)));
        b.push_back(a.back() * 0.5 + double(rng.below(2 * i + 1, values)));
      }
      EXPECT_NEAR(kendall_tau(a, b), slow_tau(a, b), 1e-12) << n << " of " << values;
    }
}

TEST(Kendall, KnowsTheEnds) {
  const std::vector<double> up = {1, 2, 3, 4}, down = {9, 7, 5, 3}, level = {2, 2, 2, 2};
  EXPECT_DOUBLE_EQ(kendall_tau(up, up), 1);
  EXPECT_DOUBLE_EQ(kendall_tau(up, down), -1);
  EXPECT_DOUBLE_EQ(kendall_tau(up, level), 0);
  EXPECT_DOUBLE_EQ(kendall_tau({}, {}), 0);
}

TEST(RelativeError, IsTheMean) {
  const std::vector<double> predicted = {1, 3}, actual = {2, 2};
  EXPECT_DOUBLE_EQ(mean_relative_error(predicted, actual), 0.5);
  const std::vector<double> twice = {2, 8}, once = {2, 4};
  EXPECT_DOUBLE_EQ(mean_relative_error(twice, once), 0.5);
}

}  // namespace
}  // namespace espalier

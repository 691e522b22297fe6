#include "train/bilevel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/run_op.h"
#include "tests/train/networks.h"
#include "train/reweighting.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using testing::user_error;

/// f = (y - 3)^2 / 2, g = (y - x)^2 / 2 + noise y, so that x should be 3, or at the end of X.
class Line : public BilevelProblem {
 public:
  double most = 100, noise = 0;
  LevelGradient upper(const Variables&, const Variables& y, uint64_t) override {
    return {(y[0] - 3) * (y[0] - 3) / 2, {}, {y[0] - 3}};
  }
  LevelGradient lower(const Variables& x, const Variables& y, uint64_t draw) override {
    const float t = y[0] - x[0], n = float(draw % 2 ? noise : -noise);
    return {t * t / 2, {-t}, {t + n}};
  }
  void project(Variables& x) const override { x[0] = std::min(x[0], float(most)); }
};

TEST(Bilevel, FindsTheUpperMinimumByGradientsAlone) {
  for (const bool corrected : {false, true}) {
    Line problem;
    PenaltyOptions o;
    o.corrected = corrected;
    o.sigma_least = 0.1;
    PenaltyBilevel solver(problem, {0}, {-1}, o);
    for (int i = 0; i < 2000; ++i) solver.step();
    EXPECT_NEAR(solver.upper()[0], 3, 0.02);
    EXPECT_NEAR(solver.lower()[0], solver.upper()[0], 0.02);
    EXPECT_EQ(solver.gradient_calls(), corrected ? 3 * 2000 + 3 * 1999 : 3 * 2000);
  }
}

TEST(Bilevel, StaysInTheConvexSet) {
  Line problem;
  problem.most = 2;
  PenaltyBilevel solver(problem, {50}, {0}, {});
  EXPECT_EQ(solver.upper()[0], 2);
  for (int i = 0; i < 1000; ++i) {
    solver.step();
    ASSERT_LE(solver.upper()[0], 2);
  }
  EXPECT_EQ(solver.upper()[0], 2);
}

TEST(Bilevel, TheFirstStepFollowsItsFormula) {
  Line problem;
  PenaltyOptions o;
  o.sigma = 0.5;
  o.lower_rate = 0.1;
  o.upper_rate = 0.2;
  PenaltyBilevel solver(problem, {1}, {2}, o);
  EXPECT_EQ(solver.sigma(), 0.5);
  solver.step();
  EXPECT_NEAR(solver.lower()[0], 2 - 0.1 * (2 - 1), 1e-6);
  EXPECT_NEAR(solver.lower_penalised()[0], 2 - 0.1 * ((2 - 1) + 0.5 * (2 - 3)), 1e-6);
  EXPECT_NEAR(solver.upper()[0], 1, 1e-6);  // y and z agree at first
  EXPECT_NEAR(solver.sigma(), 0.5 * std::pow(2, -1.0 / 3), 1e-6);
  o.sigma = 0;
  EXPECT_THAT(user_error([&] { PenaltyBilevel(problem, {1}, {2}, o); }),
              HasSubstr("sigma must be above 0"));
}

std::unique_ptr<Reweighting> reweighting(int64_t unrolled) {
  // As many trusted samples as a batch: the same ones each time.
  return std::make_unique<Reweighting>(
      testing::mlp(2, 5, 3), testing::blobs(8, 3, 1), testing::blobs(4, 3, 2),
      ReweightingOptions{.batch = 8, .decay = 0.01, .unrolled = unrolled, .lower_rate = 0.3});
}

TEST(Reweighting, GradientsMatchDifferences) {
  const auto problem = reweighting(0);
  Variables x = problem->equal_weights(), y = problem->first_parameters();
  for (size_t i = 0; i < x.size(); ++i) x[i] = 0.1f * float(i + 1);
  const LevelGradient g = problem->lower(x, y, 3), f = problem->upper(x, y, 3);
  EXPECT_TRUE(f.by_upper.empty());
  const float h = 1e-2f;
  const auto difference = [&](Variables& v, size_t i, bool upper) {
    const float was = v[i];
    const auto at = [&](float by) {
      v[i] = was + by;
      const double value = (upper ? problem->upper(x, y, 3) : problem->lower(x, y, 3)).value;
      v[i] = was;
      return value;
    };
    return (at(h) - at(-h)) / (2 * double(h));
  };
  for (size_t i = 0; i < y.size(); i += 4) {
    EXPECT_NEAR(g.by_lower[i], difference(y, i, false), 2e-3) << i;
    EXPECT_NEAR(f.by_lower[i], difference(y, i, true), 2e-3) << i;
  }
  for (size_t i = 0; i < x.size(); ++i)
    EXPECT_NEAR(g.by_upper[i], difference(x, i, false), 2e-3) << i;
}

TEST(Reweighting, UnrolledStepsAreStepsAndTheirDerivativeIsExact) {
  const auto problem = reweighting(3);
  Variables x = problem->equal_weights();
  for (size_t i = 0; i < x.size(); ++i) x[i] = 0.1f * float(i + 1);
  const Variables first = problem->first_parameters();
  Variables y = first, by_hand = first;
  const LevelGradient d = problem->unrolled_step(x, y, 2);
  for (uint64_t t = 0; t < 3; ++t) {
    const LevelGradient g = problem->lower(x, by_hand, 2 * 3 + t);
    for (size_t i = 0; i < by_hand.size(); ++i) by_hand[i] -= 0.3f * g.by_lower[i];
  }
  for (size_t i = 0; i < y.size(); ++i) EXPECT_NEAR(y[i], by_hand[i], 1e-5);
  EXPECT_NEAR(d.value, problem->upper(x, y, 2).value, 1e-5);
  for (size_t i = 0; i < x.size(); ++i) {
    const auto at = [&](float by) {
      Variables moved = x, end = first;
      moved[i] += by;
      return problem->unrolled_step(moved, end, 2).value;
    };
    EXPECT_NEAR(d.by_upper[i], (at(0.05f) - at(-0.05f)) / 0.1, 1e-3) << i;
  }
}

TEST(Reweighting, WhatCannotBeIsOneError) {
  EXPECT_THAT(user_error([] {
                Reweighting(testing::small_cnn(4), testing::corners(8, 1), testing::corners(4, 2),
                            {});
              }),
              HasSubstr("follows statistics of batches"));
  EXPECT_THAT(user_error([] {
                Reweighting(testing::mlp(2, 5, 3), testing::blobs(8, 3, 1), testing::corners(4, 2),
                            {});
              }),
              HasSubstr("samples of numbers of one shape"));
}

}  // namespace
}  // namespace espalier

#include "train/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "base/error.h"

namespace espalier {
namespace {

using Kind = Schedule::Kind;

double rate(const Schedule& s, int64_t step) { return learning_rate(s, step, 10, 4); }

TEST(Schedule, CosineFallsFromThePeakToTheFloor) {
  const Schedule s{.kind = Kind::kCosine, .peak = 0.2, .floor = 0.1};
  EXPECT_EQ(rate(s, 0), 0.2);
  EXPECT_DOUBLE_EQ(rate(s, 20), 0.02 + 0.18 * 0.5);
  EXPECT_DOUBLE_EQ(rate(s, 39), 0.02 + 0.18 * 0.5 * (1 + std::cos(std::numbers::pi * 39 / 40)));
}

TEST(Schedule, WarmupRisesInEqualStepsToThePeak) {
  const Schedule s{.kind = Kind::kCosine, .peak = 1, .warmup = 1};
  EXPECT_DOUBLE_EQ(rate(s, 0), 0.1);
  EXPECT_DOUBLE_EQ(rate(s, 4), 0.5);
  EXPECT_DOUBLE_EQ(rate(s, 9), 1);
  EXPECT_DOUBLE_EQ(rate(s, 10), 1);
  EXPECT_DOUBLE_EQ(rate(s, 25), 0.5);
}

TEST(Schedule, StepsMultiplyAtMilestones) {
  const Schedule s{.kind = Kind::kStep, .peak = 1, .milestones = {2, 3}, .factor = 0.5};
  EXPECT_EQ(rate(s, 19), 1);
  EXPECT_EQ(rate(s, 20), 0.5);
  EXPECT_EQ(rate(s, 29), 0.5);
  EXPECT_EQ(rate(s, 30), 0.25);
}

TEST(Schedule, ConstantStaysAndOneCycleRisesAndFalls) {
  EXPECT_EQ(rate({.kind = Kind::kConstant, .peak = 0.3}, 39), 0.3);
  const Schedule s{.kind = Kind::kOneCycle, .peak = 1, .warmup = 2};
  EXPECT_NEAR(rate(s, 0), 1.0 / 25, 1e-15);
  EXPECT_DOUBLE_EQ(rate(s, 10), (1 + 1.0 / 25) / 2);
  EXPECT_DOUBLE_EQ(rate(s, 20), 1);
  EXPECT_DOUBLE_EQ(rate(s, 30), (1 + 1e-4) / 2);
}

TEST(Schedule, WarmupLongerThanTheRunIsNoDivisionByZero) {
  const Schedule s{.kind = Kind::kCosine, .peak = 1, .warmup = 100};
  EXPECT_DOUBLE_EQ(rate(s, 39), 1);
}

TEST(Schedule, ImpossibleValuesAreRefused) {
  const auto message = [](const Schedule& s) {
    try {
      s.check("schedule");
    } catch (const UserError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_EQ(message({}), "");
  EXPECT_THAT(message({.peak = 0}), testing::HasSubstr("learning rate must be positive"));
  EXPECT_THAT(message({.peak = NAN}), testing::HasSubstr("learning rate must be positive"));
  EXPECT_THAT(message({.milestones = {3, 2}}), testing::HasSubstr("milestones must rise"));
}

}  // namespace
}  // namespace espalier

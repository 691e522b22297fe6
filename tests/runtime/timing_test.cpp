#include "runtime/timing.h"

#include <gtest/gtest.h>

namespace espalier {
namespace {

Timing timing(std::vector<double> rounds, double median, double mad) {
  Timing t;
  t.round_medians = std::move(rounds);
  t.median_ms = median;
  t.mad_ms = mad;
  return t;
}

TEST(Timing, SlowerNeedsBothThreePercentAndTwiceTheSpread) {
  const Timing base = timing({1, 1, 1}, 1.0, 0.005);
  EXPECT_FALSE(slower(base, timing({1, 1, 1}, 1.02, 0.001)));  // under 3 %
  EXPECT_FALSE(slower(base, timing({1, 1, 1}, 1.05, 0.04)));   // within the noise
  EXPECT_TRUE(slower(base, timing({1, 1, 1}, 1.05, 0.01)));
  EXPECT_FALSE(slower(base, timing({1, 1, 1}, 0.5, 0.0)));
}

TEST(Timing, SpeedupIsTheMedianOfTheRoundsRatios) {
  EXPECT_DOUBLE_EQ(speedup(timing({2, 4, 40}, 4, 0), timing({1, 1, 4}, 1, 0)), 4);
}

TEST(Timing, ContendersAlternate) {
  std::string order;
  const std::function<void()> contenders[] = {[&] { order += 'a'; }, [&] { order += 'b'; }};
  TimingOptions options{.rounds = 2, .seconds_per_turn = 0, .least_runs = 2, .warmup_runs = 1};
  const auto t = time_alternating(contenders, options);
  EXPECT_EQ(order, "abaabbaabb");
  EXPECT_EQ(t[0].runs, 4);
  EXPECT_EQ(t[0].round_medians.size(), 2u);
  EXPECT_LE(t[0].least_ms, t[0].p10_ms);
  EXPECT_LE(t[0].p10_ms, t[0].median_ms);
  EXPECT_LE(t[0].median_ms, t[0].p90_ms);
}

}  // namespace
}  // namespace espalier

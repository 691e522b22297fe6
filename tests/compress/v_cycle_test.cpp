#include "compress/v_cycle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "tests/support/error_of.h"
#include "tests/train/networks.h"

namespace espalier {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;

const bool kQuiet = (set_quiet(true), true);

TrainOptions options() {
  TrainOptions o;
  o.epochs = 3;
  o.epoch_steps = 4;
  o.batch = 16;
  o.seed = 3;
  o.optimizer = {"adamw", {}, 0.01};
  o.schedule.peak = 0.01;
  o.schedule.warmup = 1;
  return o;
}

CycledNetwork cycled(const VCycle& cycle, const TrainOptions& o = options()) {
  const auto data = testing::blobs(256, 3, 1);
  return VCycleTrainer(testing::residual_mlp(4), data, data, o, cycle).train();
}

TEST(VCycle, GoesDownAndUpAgain) {
  const CycledNetwork n = cycled({.levels = 3, .first = 2, .small = 5});
  ASSERT_TRUE(n.finished);
  std::vector<int64_t> levels, epochs, parameters;
  for (const CycleStretch& s : n.stretches) {
    levels.push_back(s.level);
    epochs.push_back(int64_t(s.history.size()));
    parameters.push_back(s.parameters);
  }
  EXPECT_THAT(levels, ElementsAre(0, 1, 2, 1));
  EXPECT_THAT(epochs, ElementsAre(2, 2, 5, 5));
  // 4 layers of 8 units, 2 of 4, 1 of 2.
  EXPECT_THAT(parameters,
              ElementsAre(24 + 4 * 72 + 27, 12 + 2 * 20 + 15, 6 + 6 + 9, 12 + 2 * 20 + 15));
  EXPECT_EQ(n.steps, 4 * (2 + 2 + 5 + 5));
  // Forward, gradients of weights, and of what all but the first layer read.
  const auto step = [](double w, double layers) {
    return 16 * (2 * 2 * w + 3 * (layers * w * w + 3 * w));
  };
  EXPECT_EQ(n.stretches[0].step_macs, step(8, 4));
  EXPECT_EQ(n.stretches[1].step_macs, step(4, 2));
  EXPECT_EQ(n.stretches[2].step_macs, step(2, 1));
  EXPECT_EQ(n.stretches[1].macs(), 8 * step(4, 2));
}

TEST(VCycle, WithoutAnyOfTheSmallNetworkNothingHasChanged) {
  const CycledNetwork none = cycled({.alpha = 0, .carry = false}),
                      longer = cycled({.small = 6, .alpha = 0, .carry = false}),
                      some = cycled({.alpha = 0.5, .carry = false});
  EXPECT_EQ(none.steps, 0);
  for (const auto& [name, t] : none.states) {
    EXPECT_TRUE(t.identical(longer.states.at(name))) << name;
    EXPECT_FALSE(t.identical(some.states.at(name))) << name;
  }
}

/// How far the biases of paired units are from each other.
double apart(const Tensor& bias) {
  double most = 0;
  for (int64_t i = 0; i < bias.size(); i += 2)
    most = std::max(most, std::abs(bias.at(i) - bias.at(i + 1)));
  return most;
}

// What interpolation is for: copies of a unit have the same gradient and stay copies.
TEST(VCycle, CopiesStayCopiesUnlessInterpolated) {
  const auto data = testing::blobs(256, 3, 1);
  for (const bool carry : {false, true})
    for (const double alpha : {1.0, 0.5}) {
      const CycledNetwork n = cycled({.alpha = alpha, .carry = carry});
      CarriedStates hook;
      hook.give(n.states, n.steps);
      TrainOptions o = last_options(options());
      o.epochs = 10;
      Trainer trainer(testing::residual_mlp(4), data, nullptr, o, {}, {&hook});
      trainer.train();
      for (const char* name : {"first.bias", "layer0.bias", "layer3.bias"}) {
        const double d = apart(trainer.state(name));
        if (alpha == 1)
          EXPECT_LT(d, 1e-4) << name;
        else
          EXPECT_GT(d, 1e-2) << name;
      }
    }
}

TEST(VCycle, MomentsGoAlong) {
  const CycledNetwork n = cycled({.alpha = 1});
  EXPECT_EQ(n.steps, 4 * (1 + 4));
  // Of copies alike, and where weights are shared out as large as those of what they came from.
  for (const char* state : {"first.bias:first", "first.bias:second"}) {
    EXPECT_LT(apart(n.states.at(state)), 1e-12);
    EXPECT_NE(n.states.at(state).at(0), 0);
  }
  TrainOptions soap = options();
  soap.optimizer = {"soap", {}, 0};
  EXPECT_THAT(error_of([&] { cycled({}, soap); }), HasSubstr("moments: fresh"));
  EXPECT_TRUE(cycled({.carry = false}, soap).finished);
}

TEST(VCycle, WrongSettingsAreRefused) {
  EXPECT_THAT(error_of([] { cycled({.levels = 1}); }), HasSubstr("two levels"));
  EXPECT_THAT(error_of([] { cycled({.merge = {.width = 1, .depth = 1}}); }),
              HasSubstr("neither widths nor blocks"));
  EXPECT_THAT(error_of([] { cycled({.alpha = 1.5}); }), HasSubstr("alpha"));
  EXPECT_THAT(error_of([] { cycled({.levels = 4}); }), HasSubstr("repeats no blocks"));
}

TEST(VCycle, TheLastTrainingHasNoWarmUp) {
  TrainOptions o = options();
  EXPECT_EQ(last_options(o).schedule.warmup, 0);
  EXPECT_EQ(last_options(o).schedule.peak, o.schedule.peak);
}

}  // namespace
}  // namespace espalier

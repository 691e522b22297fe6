#include "train/moments.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/log.h"
#include "tests/train/networks.h"

namespace espalier {
namespace {

const bool kQuiet = (set_quiet(true), true);
using Degrees = std::map<std::string, int>;

TEST(Moments, AreFoundByWhatTheyFollow) {
  EXPECT_EQ(moment_degrees({"adamw", {}, 0.1}), (Degrees{{"first", 1}, {"second", 2}}));
  EXPECT_EQ(moment_degrees({"sgd", {{"momentum", 0.9}}, 0.1}), (Degrees{{"velocity", 1}}));
  EXPECT_EQ(moment_degrees({"lion", {}, 0}), (Degrees{{"momentum", 1}}));
  EXPECT_EQ(moment_degrees({"signsgd", {}, 0}), Degrees{});
  for (const char* kind : {"adafactor", "soap", "shampoo", "galore", "frugal", "badam"})
    EXPECT_EQ(moment_degrees({kind, {}, 0}), std::nullopt) << kind;
}

TrainOptions options(int64_t epochs) {
  TrainOptions o;
  o.epochs = epochs;
  o.batch = 64;  // all samples: each step sees the same, in another order
  o.optimizer = {"adamw", {}, 0.01};
  o.schedule.kind = Schedule::Kind::kConstant;
  o.schedule.peak = 0.02;
  return o;
}

// Two trainings one behind the other are one training of both lengths.
TEST(Moments, TrainingGoesOnAsIfItHadNotStopped) {
  const auto data = testing::blobs(64, 3, 1);
  const Graph g = testing::mlp(2, 4, 3);
  CarriedStates hook;
  Trainer first(g, data, nullptr, options(5)), whole(g, data, nullptr, options(10)),
      second(g, data, nullptr, options(5), {}, {&hook});
  first.train();
  whole.train();
  std::map<std::string, Tensor> states;
  for (const std::string& name : first.state_names()) states[name] = first.state(name);
  hook.give(states, first.steps_done());
  second.train();
  for (const std::string& name : whole.state_names()) {
    const Tensor a = whole.state(name), b = second.state(name);
    for (int64_t i = 0; i < a.size(); ++i)
      EXPECT_NEAR(a.at(i), b.at(i), 1e-4 * (1e-2 + std::abs(a.at(i)))) << name;
  }
  // With moments whose steps are not told, Adam takes them for too small.
  hook.give(states, 0);
  Trainer wrong(g, data, nullptr, options(5), {}, {&hook});
  wrong.train();
  double apart = 0;
  for (int64_t i = 0; i < 8; ++i)
    apart = std::max(apart,
                     std::abs(wrong.state("fc1.weight").at(i) - whole.state("fc1.weight").at(i)));
  EXPECT_GT(apart, 1e-2);
}

}  // namespace
}  // namespace espalier

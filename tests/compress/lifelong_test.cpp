#include "compress/lifelong.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "ir/interpret.h"
#include "tests/support/run_op.h"
#include "tests/train/networks.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using testing::user_error;
const bool kQuiet = (set_quiet(true), true);

TrainOptions options() {
  TrainOptions o;
  o.epochs = 6;
  o.batch = 8;
  o.optimizer = {"sgd", {{"momentum", 0.9}}, 0};
  o.schedule.peak = 0.05;
  return o;
}

/// Points around as many centres, turned: tasks of three classes that resemble each other.
std::shared_ptr<const Dataset> task(int64_t t) { return testing::blobs(96, 3, uint64_t(t + 1)); }

Graph network() { return with_task_results(testing::mlp(2, 24, 9), 3); }

std::vector<Tensor> answers(const Graph& g, int64_t t) {
  std::vector<int64_t> all(96);
  for (size_t i = 0; i < 96; ++i) all[i] = int64_t(i);
  const std::vector<Tensor> inputs = {task(t)->fetch(all).inputs};
  return interpret(g, inputs);
}

TEST(Lifelong, WhatWasLearnedStaysToTheBit) {
  LifelongLearner learner(network(), {2}, 3, {}, 1);
  EXPECT_EQ(learner.units().reserve, 24);
  std::vector<std::vector<Tensor>> learned;
  for (int64_t t = 0; t < 3; ++t) {
    learner.learn(task(t), task(t), options());
    learned.push_back(answers(learner.network(), t));
    EXPECT_GT(
        evaluate(learner.network(), *task(t), Loss::kCrossEntropy, 96, "task" + std::to_string(t))
            .accuracy,
        0.9);
    const UnitCounts units = learner.units();
    int64_t sum = units.reserve;
    for (int64_t n : units.of_task) sum += n;
    EXPECT_EQ(sum, 24);
    EXPECT_GE(units.of_task[size_t(t)], 1);
    // What a task may take of what is left.
    EXPECT_LE(units.of_task[size_t(t)], 24);
    for (int64_t before = 0; before <= t; ++before)
      EXPECT_TRUE(answers(learner.network(), before)[size_t(before)].identical(
          learned[size_t(before)][size_t(before)]))
          << before << " after " << t;
  }
  EXPECT_EQ(learner.learned(), 3);
  EXPECT_THAT(user_error([&] { learner.learn(task(0), task(0), options()); }),
              HasSubstr("has learned all of its 3 tasks"));
}

TEST(Lifelong, UnitsGrowWhereAccuracyIsNotEnoughAndArePrunedWhereItDoesNotSuffer) {
  LifelongPolicy growing = {.at_first = 0.25, .enough = 1, .tolerance = 0};
  LifelongPolicy content = {.at_first = 0.25, .enough = 0, .tolerance = 1};
  LifelongLearner many(network(), {2}, 3, growing, 1), few(network(), {2}, 3, content, 1);
  many.learn(task(0), task(0), options());
  few.learn(task(0), task(0), options());
  EXPECT_LE(many.units().of_task[0], 8);  // a third
  EXPECT_EQ(few.units().of_task[0], 1);   // all but the strongest went back
  EXPECT_GT(many.units().of_task[0], 1);
  // Nothing leads into or out of the reserve.
  const Tensor& in = *few.network().value(few.network().find("fc1.weight")).constant;
  const Tensor& out = *few.network().value(few.network().find("fc2.weight")).constant;
  int64_t busy_in = 0, busy_out = 0;
  for (int64_t u = 0; u < 24; ++u) {
    busy_in += in.at(2 * u) != 0;
    bool any = false;
    for (int64_t c = 0; c < 9; ++c) any = any || out.at(c * 24 + u) != 0;
    busy_out += any;
  }
  EXPECT_EQ(busy_in, 1);
  EXPECT_EQ(busy_out, 1);
}

/// fc1 -> fc2 -> results, so that there are links from earlier units to new ones.
Graph deep() {
  Graph g;
  Builder b(g);
  ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(2)}));
  int64_t in = 2;
  for (const int64_t out : {12, 12, 6}) {
    const std::string name = "fc" + std::to_string(out == 6 ? 3 : in == 2 ? 1 : 2);
    const ValueId w = testing::parameter(g, name + ".weight", {out, in}, 0.6);
    const ValueId bias = testing::parameter(g, name + ".bias", {out}, 0.1);
    x = b.one("Gemm", {x, w, bias}, {{"transB", int64_t{1}}}, name);
    if (out != 6) x = b.one("Relu", {x});
    in = out;
  }
  g.add_output(x);
  return with_task_results(g, 2);
}

TEST(Lifelong, ThePolicySaysWhichLinksThereAre) {
  for (const bool linked : {true, false}) {
    LifelongPolicy policy = {.at_first = 1, .tolerance = 0};
    if (!linked) policy.forward = kFrozen;
    LifelongLearner learner(deep(), {2}, 2, policy, 1);
    learner.learn(task(0), task(0), options());
    const Tensor before =
        learner.network().value(learner.network().find("fc2.weight")).constant->clone();
    learner.learn(task(1), task(1), options());
    const Tensor after =
        learner.network().value(learner.network().find("fc2.weight")).constant->clone();
    const auto busy = [](const Tensor& w, int64_t unit, bool row) {
      for (int64_t k = 0; k < 12; ++k)
        if (w.at(row ? unit * 12 + k : k * 12 + unit) != 0) return true;
      return false;
    };
    int64_t links = 0, disturbed = 0;
    for (int64_t to = 0; to < 12; ++to)
      for (int64_t from = 0; from < 12; ++from) {
        const bool old_from = busy(before, from, false), old_to = busy(before, to, true);
        const bool there = after.at(to * 12 + from) != 0;
        links += there && old_from && !old_to;
        disturbed += there && !old_from && old_to;
        if (old_from && old_to) {
          EXPECT_EQ(after.at(to * 12 + from), before.at(to * 12 + from));
        }
      }
    EXPECT_EQ(links > 0, linked);
    EXPECT_EQ(disturbed, 0);
  }
}

TEST(Lifelong, WhatCannotBeIsOneError) {
  EXPECT_THAT(user_error([] { with_task_results(testing::mlp(2, 4, 9), 2); }),
              HasSubstr("cannot be divided into 2 tasks"));
  EXPECT_THAT(user_error([] {
                LifelongLearner(with_task_results(testing::small_cnn(4), 2), {2, 6, 6}, 2, {}, 0);
              }),
              HasSubstr("follows statistics of batches"));
  TrainOptions decaying = options();
  decaying.optimizer.weight_decay = 0.1;
  LifelongLearner learner(network(), {2}, 3, {}, 1);
  EXPECT_THAT(user_error([&] { learner.learn(task(0), task(0), decaying); }),
              HasSubstr("does not go together with weight decay"));
  EXPECT_THAT(user_error([] { LifelongLearner(network(), {2}, 3, {.at_first = 0}, 1); }),
              HasSubstr("lies between 0 and 1"));
}

}  // namespace
}  // namespace espalier

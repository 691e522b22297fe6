#include "train/hypernetwork.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/threads.h"
#include "data/turned.h"
#include "ir/verify.h"
#include "runtime/session.h"
#include "tests/support/error_of.h"
#include "tests/train/networks.h"
#include "train/condition.h"
#include "train/selection.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;

HypernetworkSpec small(const std::string& kind) {
  HypernetworkSpec s;
  s.generator.kind = kind;
  if (kind == "mlp") s.generator.settings = {{"layers", 2}, {"width", 16}};
  if (kind == "chunked") s.generator.settings = {{"chunk", 10}, {"width", 8}, {"embedding", 3}};
  if (kind == "recurrent") s.generator.settings = {{"chunk", 10}, {"width", 6}};
  return s;
}

HypernetworkSpec numbers(const std::string& kind, bool encoded = false, bool residual = false) {
  HypernetworkSpec s = small(kind);
  s.numbers = 1;
  s.encoded = encoded;
  s.residual = residual;
  return s;
}

HypernetworkSpec tasks(const std::string& kind, int64_t count) {
  HypernetworkSpec s = small(kind);
  s.tasks = count;
  s.embedding = 4;
  return s;
}

Tensor condition(float c) { return Tensor::from<float>({1, 1}, {c}); }
Tensor task(int64_t t) { return Tensor::from<int64_t>({1}, {t}); }

Tensor answers(const Graph& g, const Dataset& data, std::vector<Tensor> more = {}) {
  const int64_t first[] = {0, 1, 2, 3, 4, 5};
  std::vector<Tensor> inputs = {data.fetch(first).inputs};
  for (Tensor& t : more) inputs.push_back(std::move(t));
  Model model(g);
  return model.run(inputs).at(0);
}

double largest_difference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.shape(), b.shape());
  double largest = 0;
  for (int64_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a.at(i) - b.at(i)));
  return largest;
}

double root_mean_square(const Tensor& t) {
  double sum = 0;
  for (int64_t i = 0; i < t.size(); ++i) sum += t.at(i) * t.at(i);
  return std::sqrt(sum / double(t.size()));
}

using ::espalier::testing::error_of;

TrainOptions options(double rate, int64_t epochs) {
  TrainOptions o;
  o.epochs = epochs;
  o.batch = 16;
  o.schedule = {.kind = Schedule::Kind::kConstant, .peak = rate};
  o.optimizer = {"adamw", {}, 0};
  return o;
}

TEST(Hypernetwork, ThePlainNetworkOfAConditionAnswersAsTheWholeGraph) {
  const ThreadScope one_thread(1);
  const auto data = testing::blobs(32, 3, 1);
  const Graph net = testing::mlp(2, 5, 3);
  for (const GeneratorUnit* unit : generators())
    for (const bool residual : {false, true}) {
      SCOPED_TRACE(std::string(unit->name) + (residual ? ", residual" : ""));
      const Hypernetwork h(net, numbers(unit->name, true, residual), 7);
      EXPECT_EQ(violation(h.graph()), "");
      EXPECT_EQ(h.generated_elements(), 5 * 2 + 5 + 3 * 5 + 3);
      const Graph low = h.fixed(h.graph(), condition(0.1F));
      EXPECT_EQ(violation(low), "");
      EXPECT_EQ(low.order().size(), net.order().size());
      EXPECT_EQ(parameter_names(low).size(), parameter_names(net).size());
      EXPECT_LT(largest_difference(answers(low, *data), answers(h.with_condition_input(h.graph()),
                                                                *data, {condition(0.1F)})),
                1e-5);
      EXPECT_LT(largest_difference(answers(h.graph(), *data),
                                   answers(h.fixed(h.graph(), middle_condition(1)), *data)),
                1e-5);
      EXPECT_GT(largest_difference(answers(low, *data),
                                   answers(h.fixed(h.graph(), condition(0.9F)), *data)),
                1e-4);
      // The same seed gives the same generator.
      const Hypernetwork again(net, numbers(unit->name, true, residual), 7);
      EXPECT_EQ(largest_difference(h.weights(h.graph(), condition(0.3F)),
                                   again.weights(again.graph(), condition(0.3F))),
                0);
    }
}

TEST(Hypernetwork, WhatIsGeneratedBeginsAsWideAsTheNetworksOwn) {
  const Graph net = testing::mlp(20, 30, 10);
  for (const GeneratorUnit* unit : generators()) {
    SCOPED_TRACE(unit->name);
    HypernetworkSpec spec = numbers(unit->name, true);
    spec.targets = {"fc1.weight"};
    const Hypernetwork h(net, spec, 3);
    EXPECT_EQ(h.generated_elements(), 600);
    const double own = root_mean_square(*net.value(net.find("fc1.weight")).constant);
    double squares = 0;
    for (int i = 0; i < 10; ++i) {
      const double r = root_mean_square(h.weights(h.graph(), condition(0.05F + 0.1F * float(i))));
      squares += r * r / 10;
    }
    EXPECT_NEAR(std::sqrt(squares) / own, 1, 0.15);
    // Residual: the network's own weights, and a small part more.
    spec.residual = true;
    spec.scale = 1e-4;
    const Hypernetwork beside(net, spec, 3);
    EXPECT_LT(largest_difference(beside.weights(beside.graph(), condition(0.7F)).reshaped({30, 20}),
                                 *net.value(net.find("fc1.weight")).constant),
              1e-3 * own * 10);
  }
}

// Ortiz et al. 2023, section 3: without biases what is generated is proportional to its input.
TEST(Hypernetwork, EncodingTakesTheMagnitudeOfTheConditionAway) {
  const Graph net = testing::mlp(20, 30, 10);
  const auto growth = [&](bool encoded) {
    HypernetworkSpec spec = numbers("mlp", encoded);
    spec.generator.settings["width"] = 64;
    const Hypernetwork h(net, spec, 3);
    return root_mean_square(h.weights(h.graph(), condition(1))) /
           root_mean_square(h.weights(h.graph(), condition(0.1F)));
  };
  EXPECT_NEAR(growth(false), 10, 1e-3);
  EXPECT_NEAR(growth(true), 1, 0.5);
}

TEST(Hypernetwork, LearnsWithAnotherConditionAtEachStep) {
  const ThreadScope one_thread(1);
  const auto data = testing::blobs(96, 3, 1);
  for (const GeneratorUnit* unit : generators()) {
    SCOPED_TRACE(unit->name);
    const Hypernetwork h(testing::mlp(2, 8, 3), numbers(unit->name, true, true), 7);
    ConditionDraws draws(1, 5);
    Trainer trainer(h.graph(), data, data, options(0.01, 12), {}, {&draws});
    const TrainResult result = trainer.train();
    EXPECT_LT(result.history.back().train_loss, 0.5 * result.history.front().train_loss);
    EXPECT_TRUE(trainer.state("condition").identical(middle_condition(1)));
    EXPECT_GT(
        evaluate(h.fixed(trainer.network(), condition(0.9F)), *data, Loss::kCrossEntropy).accuracy,
        0.8);
  }
}

TEST(Hypernetwork, ManyConditionsAtOnceGiveWhatEachGivesAlone) {
  for (const GeneratorUnit* unit : generators()) {
    SCOPED_TRACE(unit->name);
    const Hypernetwork h(testing::mlp(2, 5, 3), tasks(unit->name, 3), 7);
    const Tensor all = h.weights(h.graph(), Tensor::from<int64_t>({3}, {0, 1, 2}));
    EXPECT_EQ(all.shape(), (Shape{3, 33}));
    for (int64_t t = 0; t < 3; ++t) {
      const Tensor one = h.weights(h.graph(), task(t));
      for (int64_t i = 0; i < 33; ++i) EXPECT_NEAR(one.at(i), all.at(33 * t + i), 1e-6);
    }
  }
}

TEST(Hypernetwork, DriftOfEarlierTasksIsHeldBack) {
  const ThreadScope one_thread(1);
  const auto data = testing::blobs(64, 3, 1);
  for (const std::string kind : {"chunked", "recurrent"}) {
    SCOPED_TRACE(kind);
    const Hypernetwork h(testing::mlp(2, 8, 3), tasks(kind, 2), 7);
    const Graph second = with_values(h.graph(), {{"condition", task(1)}});
    const Tensor before = h.weights(h.graph(), task(0));
    const auto drift = [&](double weight) {
      DriftPenalty penalty(h, h.graph(), 1, weight);
      Trainer trainer(second, data, nullptr, options(0.01, 6), {}, {&penalty});
      const TrainResult r = trainer.train();
      EXPECT_LT(r.history.back().train_loss, r.history.front().train_loss);
      return largest_difference(h.weights(trainer.network(), task(0)), before);
    };
    const double free = drift(0), held = drift(10);
    EXPECT_GT(free, 0.05);
    EXPECT_LT(held, 0.3 * free);
  }
}

TEST(Hypernetwork, GrowsWithoutAChangeAndThenUsesWhatItGained) {
  const ThreadScope one_thread(1);
  const auto data = testing::blobs(64, 3, 1);
  const Hypernetwork h(testing::mlp(2, 8, 3), tasks("recurrent", 2), 7);
  Trainer first(h.graph(), data, nullptr, options(0.01, 2));
  first.train();
  const Hypernetwork larger = h.grown(first.network(), 9);
  EXPECT_GT(larger.learned_elements(), h.learned_elements());
  EXPECT_EQ(violation(larger.graph()), "");
  for (int64_t t = 0; t < 2; ++t)
    EXPECT_LT(largest_difference(h.weights(first.network(), task(t)),
                                 larger.weights(larger.graph(), task(t))),
              1e-6);
  Trainer second(larger.graph(), data, nullptr, options(0.01, 2));
  second.train();
  const Tensor head = second.state("generator.head.weight");
  const int64_t columns = head.shape()[1];
  double used = 0;
  for (int64_t i = 6 * columns; i < head.size(); ++i) used = std::max(used, std::abs(head.at(i)));
  EXPECT_GT(used, 1e-3);
  EXPECT_THAT(error_of([&] { larger.grown(larger.graph(), 8); }), HasSubstr("cannot grow to 8"));
  const Hypernetwork chunked(testing::mlp(2, 8, 3), tasks("chunked", 2), 7);
  EXPECT_THAT(error_of([&] { chunked.grown(chunked.graph(), 64); }), HasSubstr("cannot grow"));
}

TEST(Hypernetwork, PicturesAreTurnedInTheGraphAsInTheData) {
  const auto data = testing::corners(16, 2);
  const Hypernetwork h(testing::small_cnn(4), numbers("mlp", true, true), 7);
  const Graph turning = with_turned_input(h.graph(), -30, 90);
  EXPECT_EQ(violation(turning), "");
  for (const float c : {0.0F, 0.25F, 1.0F}) {
    const Graph plain = h.fixed(h.graph(), condition(c));
    EXPECT_LT(largest_difference(answers(plain, *turned(data, -30 + 120 * double(c))),
                                 answers(h.fixed(turning, condition(c)), *data)),
              1e-4);
  }
  EXPECT_THAT(error_of([&] { with_turned_input(testing::small_cnn(4), 0, 1); }),
              HasSubstr("no condition of numbers"));
  const Hypernetwork flat(testing::mlp(2, 5, 3), numbers("mlp"), 7);
  EXPECT_THAT(error_of([&] { with_turned_input(flat.graph(), 0, 1); }),
              HasSubstr("square pictures can be turned"));
}

TEST(Hypernetwork, WhatCannotBeIsRefused) {
  const Graph net = testing::mlp(2, 5, 3);
  const auto wrong = [&](const HypernetworkSpec& s) {
    return error_of([&] { Hypernetwork(net, s, 1); });
  };
  HypernetworkSpec both = numbers("mlp");
  both.tasks = 2;
  EXPECT_THAT(wrong(both), HasSubstr("not both"));
  HypernetworkSpec encoded = tasks("mlp", 2);
  encoded.encoded = true;
  EXPECT_THAT(wrong(encoded), HasSubstr("learned and not encoded"));
  HypernetworkSpec kind = numbers("mlp");
  kind.generator.kind = "recurent";
  EXPECT_THAT(wrong(kind), HasSubstr("did you mean 'recurrent'?"));
  HypernetworkSpec setting = numbers("mlp");
  setting.generator.settings["chunk"] = 3;
  EXPECT_THAT(wrong(setting), HasSubstr("no setting 'chunk'"));
  HypernetworkSpec target = numbers("mlp");
  target.targets = {"fc3.*"};
  EXPECT_THAT(wrong(target), HasSubstr("'fc3.*'"));
  const Hypernetwork h(net, numbers("mlp"), 1);
  EXPECT_THAT(error_of([&] { Hypernetwork(h.graph(), numbers("mlp"), 1); }),
              HasSubstr("a value '"));
}

}  // namespace
}  // namespace espalier

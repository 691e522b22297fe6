// Training from losses alone: estimates against exact gradients, feature reuse against whole
// forwards, and what a run keeps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>

#include "base/error.h"
#include "base/log.h"
#include "base/threads.h"
#include "tests/support/error_of.h"
#include "tests/train/networks.h"
#include "train/estimator.h"
#include "train/integer_training.h"
#include "train/perturbed_forward.h"
#include "train/step_session.h"
#include "train/trainer.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
const bool kQuiet = (set_quiet(true), true);

using ::espalier::testing::error_of;

StepOptions options_of(const Shape& input, Rule rule) {
  StepOptions o;
  o.input = input;
  o.rule = std::move(rule);
  o.optimizer = {"sgd", {{"momentum", 0}}, 0};
  o.seed = 7;
  return o;
}

Batch batch_of(const Shape& input, int64_t classes) {
  Tensor labels(DType::i64, {input[0]});
  for (int64_t i = 0; i < labels.size(); ++i) labels.mutable_data<int64_t>()[i] = i % classes;
  return {testing::random_tensor(input, "batch", 1), labels};
}

/// What one step at rate 1 without momentum takes off the parameters: the gradients.
std::vector<Tensor> exact_gradients(const Graph& network, const StepOptions& o,
                                    const Batch& batch) {
  StepOptions exact = o;
  exact.rule = {};
  StepSession session(build_training_step(network, exact));
  std::vector<Tensor> before, after;
  for (const StepParameter& p : session.graph().parameters) before.push_back(session.state(p.name));
  session.run(batch, 1, 1);
  for (size_t i = 0; i < before.size(); ++i) {
    Tensor t = session.state(session.graph().parameters[i].name);
    for (int64_t e = 0; e < t.size(); ++e)
      t.mutable_data<float>()[e] = before[i].data<float>()[e] - t.data<float>()[e];
    after.push_back(t);
  }
  return after;
}

std::vector<Tensor> estimated(StepSession& session, const Batch& batch, int64_t number = 1) {
  return session.graph().estimator->gradients(session, batch, number);
}

TEST(ZerothOrder, EveryCoordinateBothWaysIsTheGradient) {
  const Shape input = {6, 2, 6, 6};
  const Batch batch = batch_of(input, 4);
  const StepOptions o =
      options_of(input, {"coordinatewise", {{"density", 1}, {"two_sided", 1}, {"radius", 1e-3}}});
  StepSession session(build_training_step(testing::small_cnn(4), o));
  const std::vector<Tensor> got = estimated(session, batch);
  const std::vector<Tensor> want = exact_gradients(testing::small_cnn(4), o, batch);
  ASSERT_EQ(got.size(), want.size());
  int64_t elements = 0;
  for (size_t p = 0; p < got.size(); ++p)
    for (int64_t e = 0; e < got[p].size(); ++e, ++elements)
      EXPECT_NEAR(got[p].at(e), want[p].at(e), 2e-3) << p << " " << e;
  // One at the point, two for each element.
  EXPECT_EQ(session.graph().estimator->queries(), 1 + 2 * elements);
}

TEST(ZerothOrder, AStepTakesWhatWasEstimated) {
  const Shape input = {4, 3};
  const Batch batch = batch_of(input, 3);
  StepOptions o = options_of(input, {"coordinatewise", {{"density", 0.5}, {"layers", 1}}});
  StepSession session(build_training_step(testing::mlp(3, 8, 3), o));
  const std::vector<Tensor> gradients = estimated(session, batch);
  const Tensor before = session.state("fc1.weight");
  session.run(batch, 0.5, 1);
  const Tensor after = session.state("fc1.weight");
  int moved = 0;
  for (int64_t e = 0; e < before.size(); ++e) {
    EXPECT_FLOAT_EQ(float(after.at(e)), float(before.at(e) - 0.5 * gradients[0].at(e)));
    moved += before.at(e) != after.at(e);
  }
  EXPECT_GT(moved, 0);
  EXPECT_LE(moved, 12);
  // The loss of the step is that of the network before it.
  EXPECT_GT(session.scalar(session.graph().loss), 0);
}

TEST(ZerothOrder, ReuseChangesNoBit) {
  const Shape input = {6, 2, 6, 6};
  const Batch batch = batch_of(input, 4);
  const auto with = [&](double reuse) {
    const StepOptions o =
        options_of(input, {"coordinatewise", {{"density", 0.5}, {"reuse", reuse}}});
    StepSession session(build_training_step(testing::small_cnn(4), o));
    return estimated(session, batch);
  };
  const std::vector<Tensor> a = with(1), b = with(0);
  for (size_t p = 0; p < a.size(); ++p) EXPECT_TRUE(a[p].identical(b[p])) << p;
}

TEST(ZerothOrder, DoesNotDependOnThreads) {
  const Shape input = {6, 2, 6, 6};
  const Batch batch = batch_of(input, 4);
  for (const char* kind : {"coordinatewise", "spsa"}) {
    std::vector<std::vector<Tensor>> all;
    for (const int threads : {1, 3}) {
      const ThreadScope scope(threads);
      StepSession session(build_training_step(testing::small_cnn(4), options_of(input, {kind})));
      all.push_back(estimated(session, batch));
    }
    for (size_t p = 0; p < all[0].size(); ++p) EXPECT_TRUE(all[0][p].identical(all[1][p])) << kind;
  }
}

/// Elements looked at differ from step to step; vectors are looked at whole, and of all weights the
/// density's share, however it falls on the layers.
TEST(ZerothOrder, LooksAtTheShareItIsToldTo) {
  const Shape input = {16, 12};
  const Batch batch = batch_of(input, 5);
  const StepOptions o = options_of(input, {"coordinatewise", {{"density", 0.2}, {"radius", 1e-2}}});
  StepSession session(build_training_step(testing::mlp(12, 20, 5), o));
  const auto looked_at = [&](const Tensor& t) {
    std::vector<int64_t> places;
    for (int64_t e = 0; e < t.size(); ++e)
      if (t.at(e) != 0) places.push_back(e);
    return places;
  };
  const std::vector<Tensor> first = estimated(session, batch, 1),
                            second = estimated(session, batch, 2);
  EXPECT_NE(looked_at(first[0]), looked_at(second[0]));
  const Tensor densities = session.state("rule:densities");
  double kept = 0, all = 0;
  for (size_t p = 0; p < first.size(); ++p) {
    const auto elements = double(first[p].size());
    EXPECT_LE(double(looked_at(first[p]).size()), std::round(densities.at(int64_t(p)) * elements));
    if (first[p].rank() < 2) {
      EXPECT_EQ(densities.at(int64_t(p)), 1);
      continue;
    }
    kept += densities.at(int64_t(p)) * elements;
    all += elements;
  }
  EXPECT_NEAR(kept / all, 0.2, 0.01);
}

/// The mean of slopes along many directions points where the gradient does.
TEST(ZerothOrder, ManyRandomDirectionsPointAlongTheGradient) {
  const Shape input = {8, 3};
  const Batch batch = batch_of(input, 3);
  for (const double draw : {0.0, 1.0}) {
    const StepOptions o = options_of(input, {"spsa", {{"directions", 2000}, {"draw", draw}}});
    StepSession session(build_training_step(testing::mlp(3, 6, 3), o));
    const std::vector<Tensor> got = estimated(session, batch);
    const std::vector<Tensor> want = exact_gradients(testing::mlp(3, 6, 3), o, batch);
    double product = 0, a = 0, b = 0;
    for (size_t p = 0; p < got.size(); ++p)
      for (int64_t e = 0; e < got[p].size(); ++e) {
        product += got[p].at(e) * want[p].at(e);
        a += got[p].at(e) * got[p].at(e);
        b += want[p].at(e) * want[p].at(e);
      }
    EXPECT_GT(product / std::sqrt(a * b), 0.95) << draw;
    EXPECT_NEAR(std::sqrt(a / b), 1, 0.2) << draw;
    EXPECT_EQ(session.graph().estimator->queries(), 1 + 2 * 2000);
  }
}

TrainOptions training(const std::string& kind) {
  TrainOptions o;
  o.epochs = 3;
  o.batch = 25;
  o.seed = 3;
  o.optimizer = {"sgd", {}, 0};
  o.rule.kind = kind;
  if (kind == "spsa")
    o.rule.settings["directions"] = 40;
  else
    o.rule.settings["density"] = 0.5;
  o.schedule.peak = 0.1;
  return o;
}

TEST(ZerothOrder, LearnsAndGoesOnWhereItWasStopped) {
  struct StopAt : TrainHook {
    void after_step(Trainer& t, const StepReport& r) override {
      if (r.step == 21) t.stop();
    }
  };
  namespace fs = std::filesystem;
  const auto data = testing::blobs(400, 5, 1), test = testing::blobs(200, 5, 9);
  for (const std::string kind : {"coordinatewise", "spsa"}) {
    const TrainOptions o = training(kind);
    Trainer whole(testing::mlp(2, 12, 5), data, nullptr, o);
    whole.train();
    EXPECT_GT(whole.evaluate(*test).accuracy, 0.9) << kind;
    EXPECT_GT(whole.queries(), 48) << kind;
    const fs::path folder =
        fs::temp_directory_path() / ("espalier_zo_" + kind + "_" + std::to_string(::getpid()));
    StopAt stop;
    Trainer(testing::mlp(2, 12, 5), data, nullptr, o, {folder, ""}, {&stop}).train();
    Trainer second(testing::mlp(2, 12, 5), data, nullptr, o, {folder, ""});
    ASSERT_TRUE(second.resume());
    second.train();
    for (const std::string& name : whole.state_names())
      EXPECT_TRUE(whole.state(name).identical(second.state(name))) << kind << " " << name;
    TrainOptions other = o;
    other.rule = {};
    EXPECT_THAT(error_of([&] {
                  Trainer(testing::mlp(2, 12, 5), data, nullptr, other, {folder, ""}).resume();
                }),
                HasSubstr("was made with "));
    fs::remove_all(folder);
  }
}

TEST(ZerothOrder, RefusesWhatItCannotDo) {
  const auto step = [](Rule rule, DType precision) {
    StepOptions o = options_of({4, 3}, std::move(rule));
    o.precision = precision;
    return build_training_step(testing::mlp(3, 8, 3), o);
  };
  EXPECT_THAT(error_of([&] { step({"spsa"}, DType::bf16); }), HasSubstr("bf16 rounds away"));
  EXPECT_THAT(error_of([&] { find_rule("spssa"); }), HasSubstr("spsa"));
  EXPECT_THAT(error_of([&] {
                Rule({"spsa", {{"direction", 1}}}).check("here");
              }),
              HasSubstr("rule 'spsa' has no setting 'direction'"));
  EXPECT_THAT(error_of([&] {
                Rule({"spsa", {{"directions", 0}}}).check("here");
              }),
              HasSubstr("directions must lie between 1 and"));
  EXPECT_THAT(error_of([&] {
                build_integer_step(testing::mlp(3, 8, 3), options_of({4, 3}, {"spsa"}));
              }),
              HasSubstr("does not train integers"));
}

}  // namespace
}  // namespace espalier

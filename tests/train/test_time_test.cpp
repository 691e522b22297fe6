#include "train/test_time.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "tests/support/run_op.h"
#include "tests/train/networks.h"
#include "train/step_session.h"
#include "train/trainer.h"

namespace espalier {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::user_error;

TEST(TestTime, EntropyAndWeightsFollowTheirFormulas) {
  const float logits[] = {0, std::log(3.0f), 0};
  const Certainty c = certainty_of(logits, 3);
  EXPECT_NEAR(c.entropy, -(0.6 * std::log(0.6) + 0.4 * std::log(0.2)), 1e-6);
  EXPECT_NEAR(c.probability, 0.6, 1e-6);
  EXPECT_EQ(c.answer, 1);
  const double whole = std::log(10.0);
  const TestTimeOptions deyo = TestTimeOptions::of(TestTimeMethod::kDeyo);
  EXPECT_NEAR(test_time_weight(deyo, 10, 0.3 * whole, 0.5), std::exp(0.1 * whole) + std::exp(0.5),
              1e-12);
  EXPECT_EQ(test_time_weight(deyo, 10, 0.3 * whole, 0.2), 0);  // hangs on colour
  EXPECT_EQ(test_time_weight(deyo, 10, 0.5 * whole, 0.9), 0);  // not sure
  const TestTimeOptions eata = TestTimeOptions::of(TestTimeMethod::kEata);
  EXPECT_NEAR(test_time_weight(eata, 10, 0.3 * whole, 0), std::exp(0.1 * whole), 1e-12);
  EXPECT_EQ(test_time_weight(eata, 10, 0.41 * whole, 0), 0);
  EXPECT_EQ(test_time_weight(TestTimeOptions::of(TestTimeMethod::kTent), 10, whole, 0), 1);
}

/// The weighted entropy that a step descends, and its gradient, against differences.
TEST(TestTime, StepsDescendTheWeightedEntropy) {
  const Graph net = testing::mlp(2, 4, 3);
  StepOptions o;
  o.input = {2, 2};
  o.loss = Loss::kEntropy;
  o.optimizer = {"sgd", {{"momentum", 0}, {"nesterov", 0}}, 0};
  const Batch batch = {Tensor::from<float>({2, 2}, {1, -0.5f, 0.25f, 2}),
                       Tensor::from<float>({2}, {0.5f, 2})};
  StepSession step(build_training_step(net, o));
  const Tensor before = step.state("fc2.bias");
  step.run(batch, 1, 1);
  const Tensor after = step.state("fc2.bias");
  const auto loss = [&](int64_t at, float by) {
    StepSession probe(build_training_step(net, o));
    Tensor bias = before.clone();
    bias.mutable_data<float>()[at] += by;
    probe.set_state("fc2.bias", bias);
    probe.run(batch, 0, 1);
    return probe.scalar(probe.graph().loss);
  };
  for (int64_t i = 0; i < 3; ++i)
    EXPECT_NEAR(before.at(i) - after.at(i), (loss(i, 0.02f) - loss(i, -0.02f)) / 0.04, 1e-3) << i;
}

TEST(TestTime, OnlyNormalisationsAdaptAndResetUndoesIt) {
  const Graph net = testing::small_cnn(4);
  const auto data = testing::corners(16, 1);
  TestTimeOptions o = TestTimeOptions::of(TestTimeMethod::kTent);
  o.batch = 16;
  o.rate = 0.05;
  TestTimeAdapter adapter(net, data->sample_shape(), data->picture_shape(), o);
  EXPECT_EQ(adapter.adapted_parameters(), 16);
  std::vector<int64_t> all(16);
  std::iota(all.begin(), all.end(), 0);
  const Tensor x = data->fetch(all).inputs;
  const auto entropy = [&](const Tensor& logits) {
    double sum = 0;
    for (int64_t i = 0; i < 16; ++i)
      sum += certainty_of(logits.data<float>() + i * 4, 4).entropy / 16;
    return sum;
  };
  const Tensor first = adapter.answer(x);
  Tensor last = adapter.answer(x);
  for (int i = 0; i < 20; ++i) last = adapter.answer(x);
  EXPECT_LT(entropy(last), entropy(first) - 0.05);
  const Graph adapted = adapter.network();
  for (ValueId v : net.constants()) {
    const Value& was = net.value(v);
    const bool norm = was.name.starts_with("bn");
    EXPECT_EQ(adapted.value(adapted.find(was.name)).constant->identical(*was.constant), !norm)
        << was.name;
  }
  adapter.reset();
  EXPECT_TRUE(adapter.answer(x).identical(first));
}

TEST(TestTime, SamplesThatAreNotTrustedChangeNothing) {
  const Graph net = testing::small_cnn(4);
  const auto data = testing::corners(10, 1);
  for (const bool by_entropy : {true, false}) {
    TestTimeOptions o = TestTimeOptions::of(TestTimeMethod::kDeyo);
    o.batch = 4;
    o.rate = 1;
    o.patches = 2;
    o.most_entropy = by_entropy ? 0.001 : 1;
    o.least_drop = 0.99;
    const TestTimeResult r = adapt_to(net, *data, o);
    EXPECT_EQ(r.counts.answered, 10);
    EXPECT_EQ(r.counts.chosen, 0);
    EXPECT_EQ(r.counts.backward, 0);
    // Three batches, the last one filled; looked at twice where any sample was confident.
    EXPECT_EQ(r.counts.forward, by_entropy ? 12 : 24);
    for (ValueId v : net.constants())
      EXPECT_TRUE(r.network.value(r.network.find(net.value(v).name))
                      .constant->identical(*net.value(v).constant));
  }
}

/// A network that answers by a mean is not trusted by deyo: moved patches have the same mean.
TEST(TestTime, DeyoTellsColourFromShape) {
  Graph net;
  Builder b(net);
  ValueId x =
      net.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(2), Dim(6), Dim(6)}));
  x = b.one("Flatten", {b.one("GlobalAveragePool", {x})});
  const ValueId scale =
      net.add_constant("norm.weight", Tensor::from<float>({2}, {20, 20}), Role::kParameter);
  net.add_output(b.one("LayerNormalization", {x, scale}, {}, "norm"));
  const auto data = testing::corners(8, 1);
  TestTimeOptions o = TestTimeOptions::of(TestTimeMethod::kDeyo);
  o.batch = 8;
  o.patches = 2;
  TestTimeAdapter adapter(net, data->sample_shape(), data->picture_shape(), o);
  std::vector<int64_t> all = {0, 1, 2, 3, 4, 5, 6, 7};
  adapter.answer(data->fetch(all).inputs);
  EXPECT_EQ(adapter.counts().confident, 8);
  EXPECT_EQ(adapter.counts().chosen, 0);
  o.method = TestTimeMethod::kEata;
  TestTimeAdapter trusting(net, data->sample_shape(), data->picture_shape(), o);
  trusting.answer(data->fetch(all).inputs);
  EXPECT_EQ(trusting.counts().chosen, 8);
}

TEST(TestTime, WithoutAMethodTheNetworkAnswersAsItIs) {
  const Graph net = testing::small_cnn(4);
  const auto data = testing::corners(30, 1);
  TestTimeOptions o = TestTimeOptions::of(TestTimeMethod::kNone);
  o.batch = 8;
  EXPECT_NEAR(adapt_to(net, *data, o).accuracy, evaluate(net, *data, Loss::kCrossEntropy).accuracy,
              1e-12);
}

TEST(TestTime, ErrorsSayWhatIsMissing) {
  const auto data = testing::corners(8, 1);
  const auto adapter = [&](const Graph& net, const TestTimeOptions& o) {
    return user_error(
        [&] { TestTimeAdapter(net, data->sample_shape(), data->picture_shape(), o); });
  };
  EXPECT_THAT(adapter(testing::mlp(2, 4, 3), TestTimeOptions::of(TestTimeMethod::kTent)),
              HasSubstr("no parameter meets"));
  TestTimeOptions o = TestTimeOptions::of(TestTimeMethod::kDeyo);
  EXPECT_THAT(adapter(testing::small_cnn(4), o), HasSubstr("cannot be cut into 4 x 4"));
  o.most_entropy = 2;
  EXPECT_THAT(adapter(testing::small_cnn(4), o), HasSubstr("a part of ln C"));
}

}  // namespace
}  // namespace espalier

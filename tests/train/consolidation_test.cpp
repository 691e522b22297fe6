#include "train/consolidation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/log.h"
#include "tests/train/networks.h"
#include "train/transfer_matrix.h"

namespace espalier {
namespace {

const bool kQuiet = (set_quiet(true), true);

TrainOptions options(int64_t steps) {
  TrainOptions o;
  o.epochs = 1;
  o.epoch_steps = steps;
  o.batch = 8;
  o.optimizer = {"sgd", {{"momentum", 0.9}}, 0};
  o.schedule.kind = Schedule::Kind::kConstant;
  o.schedule.peak = 0.1;
  return o;
}

std::map<std::string, Tensor> trained(const Consolidation* held, int64_t steps) {
  const auto data = testing::blobs(64, 3, 1);
  std::unique_ptr<ConsolidationHook> hook;
  std::vector<TrainHook*> hooks;
  if (held) hooks.push_back((hook = std::make_unique<ConsolidationHook>(*held)).get());
  Trainer trainer(testing::mlp(2, 4, 3), data, nullptr, options(steps), {}, hooks);
  trainer.train();
  std::map<std::string, Tensor> values;
  for (const char* name : {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"})
    values[name] = trainer.state(name);
  return values;
}

TEST(Consolidation, FrozenElementsStayToTheBitAndFreeOnesTrainAsEver) {
  Consolidation held = unconsolidated(testing::mlp(2, 4, 3));
  const auto plain = trained(nullptr, 20);
  for (const auto& [name, value] : trained(&held, 20))
    EXPECT_TRUE(value.identical(plain.at(name))) << name;
  const Tensor first = held.at("fc2.weight").anchor;
  Tensor strength(DType::f32, first.shape());
  for (int64_t i = 0; i < strength.size(); i += 2) strength.mutable_data<float>()[i] = kFrozen;
  held.at("fc2.weight").strength = strength;
  const Tensor now = trained(&held, 20).at("fc2.weight");
  for (int64_t i = 0; i < now.size(); ++i) EXPECT_EQ(now.at(i) == first.at(i), i % 2 == 0) << i;
}

TEST(Consolidation, AStepIsTheProximalOne) {
  Consolidation held = unconsolidated(testing::mlp(2, 4, 3));
  const Tensor free = trained(&held, 1).at("fc1.bias");
  Hold& hold = held.at("fc1.bias");
  hold.strength = Tensor::from<float>({4}, {0, 2, 5, 1e6f});
  hold.anchor = Tensor::from<float>({4}, {1, 1, -1, 0.5f});
  const Tensor pulled = trained(&held, 1).at("fc1.bias");
  for (int64_t i = 0; i < 4; ++i) {
    const double by = 0.1 * hold.strength.at(i);
    EXPECT_NEAR(pulled.at(i), (free.at(i) + by * hold.anchor.at(i)) / (1 + by), 1e-5);
  }
}

TEST(Consolidation, TermsAddUp) {
  const Graph net = testing::mlp(2, 4, 3);
  Consolidation held = unconsolidated(net);
  Hold& hold = held.at("fc2.bias");
  hold = {Tensor::from<float>({3}, {1, 0, kFrozen}), Tensor::from<float>({3}, {2, 2, 2})};
  consolidate(held, net, {{"fc2.bias", Tensor::from<float>({3}, {1.5f, 2, 2})}}, 2);
  const Tensor& w = *net.value(net.find("fc2.bias")).constant;
  EXPECT_EQ(hold.strength.at(0), 4);
  EXPECT_NEAR(hold.anchor.at(0), (1 * 2 + 3 * w.at(0)) / 4, 1e-6);
  EXPECT_EQ(hold.strength.at(1), 4);
  EXPECT_NEAR(hold.anchor.at(1), w.at(1), 1e-6);
  EXPECT_EQ(hold.strength.at(2), double(kFrozen));
  EXPECT_EQ(hold.anchor.at(2), 2);
}

/// Of a bias in front of a softmax it is the variance of the answer, p (1 - p).
TEST(Consolidation, FisherDiagonalOfABiasIsTheVarianceOfTheAnswer) {
  const Graph net = testing::mlp(2, 4, 3);
  const auto data = testing::blobs(5, 3, 1);
  const auto fisher = fisher_diagonal(net, *data, 100);
  ASSERT_EQ(fisher.size(), 4u);
  const auto loss_of = [&](const Batch& batch, int64_t c) {
    const auto one = testing::dataset(batch.inputs, Tensor::from<int64_t>({1}, {c}), 3, "one");
    return evaluate(net, *one, Loss::kCrossEntropy).loss;
  };
  for (int64_t k = 0; k < 3; ++k) {
    double expected = 0;
    for (int64_t i = 0; i < 5; ++i) {
      const double p = std::exp(-loss_of(data->fetch({&i, 1}), k));
      expected += p * (1 - p) / 5;
    }
    EXPECT_NEAR(fisher.at("fc2.bias").at(k), expected, 1e-4) << k;
  }
}

TEST(TransferMatrix, FiguresFollowTheirDefinitions) {
  const TransferMatrix m = {{{0.9}, {0.95, 0.8}, {0.7, 0.85, 0.6}}};
  EXPECT_NEAR(m.final_mean(), (0.7 + 0.85 + 0.6) / 3, 1e-12);
  EXPECT_NEAR(m.forgetting(), ((0.95 - 0.7) + (0.8 - 0.85)) / 2, 1e-12);
  EXPECT_NEAR(m.backward_transfer(), ((0.7 - 0.9) + (0.85 - 0.8)) / 2, 1e-12);
  EXPECT_NEAR(m.forward_transfer({0.5, 0.7, 0.7}), ((0.8 - 0.7) + (0.6 - 0.7)) / 2, 1e-12);
  EXPECT_EQ(m.text(), "90.0 / 95.0 80.0 / 70.0 85.0 60.0");
}

}  // namespace
}  // namespace espalier

// Contrastive losses against computations in double: values, gradients, what is averaged over
// batches; and retrieval.
#include "train/contrastive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <functional>

#include "base/log.h"
#include "base/threads.h"
#include "tests/support/error_of.h"
#include "tests/train/networks.h"
#include "train/step_session.h"
#include "train/temperature.h"
#include "train/trainer.h"

namespace espalier {
namespace {

using ::espalier::testing::error_of;
using ::testing::HasSubstr;
using Kind = ContrastiveOptions::Kind;
using Matrix = std::vector<std::vector<double>>;
const bool kQuiet = (set_quiet(true), true);

constexpr int64_t kBatch = 3, kIn = 4, kOut = 2, kSamples = 5;

/// x W, made of length 1 by what is put behind it.
Graph linear() {
  Graph g;
  g.name = "linear";
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(kIn)}));
  g.add_output(b.matmul(x, testing::parameter(g, "w", {kIn, kOut}, 1)));
  return g;
}

StepOptions options(const Graph& g, Kind kind, double gamma) {
  StepOptions o;
  o.input = {2 * kBatch, kIn};
  o.loss = Loss::kContrastive;
  o.contrastive = {kind, 0.3, gamma, kSamples};
  o.optimizer = {"sgd", {{"momentum", 0}, {"nesterov", 0}}, 0};
  o.output = g.value(g.outputs()[0]).name;
  return o;
}

Batch batch_of(const std::vector<int64_t>& samples, const std::string& name) {
  return {testing::random_tensor({2 * kBatch, kIn}, name, 1),
          Tensor::from<int64_t>({kBatch}, {samples[0], samples[1], samples[2]})};
}

/// Embeddings of length 1.
Matrix embedded(const Tensor& x, const Tensor& w, int64_t changed = -1, double by = 0) {
  Matrix z(size_t(x.shape()[0]), std::vector<double>(kOut, 0));
  for (size_t r = 0; r < z.size(); ++r) {
    double length = 0;
    for (int64_t o = 0; o < kOut; ++o) {
      for (int64_t i = 0; i < kIn; ++i) {
        const int64_t at = i * kOut + o;
        z[r][size_t(o)] += x.at(int64_t(r) * kIn + i) * (w.at(at) + (at == changed ? by : 0));
      }
      length += z[r][size_t(o)] * z[r][size_t(o)];
    }
    for (double& v : z[r]) v /= std::sqrt(length);
  }
  return z;
}

/// s_ij of anchor `a` (first views, then second ones) with the other view of sample j.
double cosine(const Matrix& z, size_t a, size_t j) {
  const auto& other = z[a < kBatch ? j + kBatch : j];
  return z[a][0] * other[0] + z[a][1] * other[1];
}

double info_nce(const Matrix& z, double tau) {
  double loss = 0;
  for (size_t a = 0; a < 2 * kBatch; ++a) {
    double sum = 0;
    for (size_t j = 0; j < kBatch; ++j) sum += std::exp(cosine(z, a, j) / tau);
    loss += (std::log(sum) - cosine(z, a, a % kBatch) / tau) / (2 * kBatch);
  }
  return loss;
}

/// g_a: the mean of exp(d / tau) over the batch's others.
double mean_of_others(const Matrix& z, size_t a, double tau) {
  double sum = 0;
  for (size_t j = 0; j < kBatch; ++j)
    if (j != a % kBatch)
      sum += std::exp((cosine(z, a, j) - cosine(z, a, a % kBatch)) / tau) / (kBatch - 1);
  return sum;
}

/// What a step at rate 1 takes off a state.
std::vector<double> taken(StepSession& step, const std::string& name, const Batch& batch,
                          int64_t number) {
  const Tensor before = step.state(name);
  step.run(batch, 1, number);
  const Tensor after = step.state(name);
  std::vector<double> d;
  for (int64_t i = 0; i < before.size(); ++i) d.push_back(before.at(i) - after.at(i));
  return d;
}

TEST(Contrastive, InfoNceTeachesNetworkAndTemperature) {
  const Graph g = with_learned_temperature(linear(), 0.4);
  StepSession step(build_training_step(g, options(g, Kind::kInfoNce, 1)));
  const Batch batch = batch_of({0, 1, 2}, "pictures");
  const Tensor w = step.state("w"), log = step.state("temperature.log");
  StepSession again(build_training_step(g, options(g, Kind::kInfoNce, 1)));
  const std::vector<double> dw = taken(step, "w", batch, 1);
  const std::vector<double> dlog = taken(again, "temperature.log", batch, 1);
  EXPECT_NEAR(step.scalar(step.graph().loss), info_nce(embedded(batch.inputs, w), 0.4), 1e-5);
  const auto slope = [](const std::function<double(double)>& f) {
    return (f(1e-5) - f(-1e-5)) / 2e-5;
  };
  for (int64_t i = 0; i < w.size(); ++i)
    EXPECT_NEAR(dw[size_t(i)],
                slope([&](double by) { return info_nce(embedded(batch.inputs, w, i, by), 0.4); }),
                5e-5);
  EXPECT_NEAR(dlog[0], slope([&](double by) {
                return info_nce(embedded(batch.inputs, w), std::exp(log.at(0) + by));
              }),
              5e-5);
  double right = 0;
  const Matrix z = embedded(batch.inputs, w);
  for (size_t a = 0; a < kBatch; ++a) {
    size_t best = 0;
    for (size_t j = 1; j < kBatch; ++j)
      if (cosine(z, a, j) > cosine(z, a, best)) best = j;
    right += best == a;
  }
  EXPECT_EQ(step.scalar(step.graph().correct), right);
}

// Without memory, what is minimised has the gradients of the batch's own robust loss.
TEST(Contrastive, GlobalLossOfOneBatchHasItsGradients) {
  constexpr double kRho = 0.2, kTau = 0.4;
  const Graph g = with_learned_temperature(linear(), kTau);
  StepOptions o = options(g, Kind::kGlobal, 1);
  o.rho = kRho;
  StepSession step(build_training_step(g, o)), again(build_training_step(g, o));
  const Batch batch = batch_of({0, 1, 2}, "pictures");
  const Tensor w = step.state("w");
  const auto loss = [&](int64_t changed, double by, double tau) {
    const Matrix z = embedded(batch.inputs, w, changed, by);
    double sum = 0;
    for (size_t a = 0; a < 2 * kBatch; ++a)
      sum += tau * (std::log(mean_of_others(z, a, tau)) + kRho) / (2 * kBatch);
    return sum;
  };
  const std::vector<double> dw = taken(step, "w", batch, 1);
  const std::vector<double> dlog = taken(again, "temperature.log", batch, 1);
  EXPECT_NEAR(step.scalar(step.graph().loss), loss(-1, 0, kTau), 1e-5);
  for (int64_t i = 0; i < w.size(); ++i)
    EXPECT_NEAR(dw[size_t(i)], (loss(i, 1e-5, kTau) - loss(i, -1e-5, kTau)) / 2e-5, 5e-5);
  EXPECT_NEAR(dlog[0],
              (loss(-1, 0, kTau * std::exp(1e-5)) - loss(-1, 0, kTau * std::exp(-1e-5))) / 2e-5,
              5e-5);
}

// u follows the batches, sample by sample and view by view; a sample not met yet begins with its
// batch, one that is not in the batch stays. The gradient is that of g / u.
TEST(Contrastive, GlobalLossAveragesOverBatches) {
  constexpr double kGamma = 0.6, kTau = 0.3;
  const Graph g = with_embedding(linear());
  StepSession step(build_training_step(g, options(g, Kind::kGlobal, kGamma)));
  std::array<double, 2 * kSamples> u;
  u.fill(-1);
  const std::vector<std::vector<int64_t>> samples = {{0, 1, 2}, {2, 4, 0}, {4, 3, 2}};
  for (size_t t = 0; t < samples.size(); ++t) {
    const Batch batch = batch_of(samples[t], "batch " + std::to_string(t));
    const Tensor w = step.state("w");
    const Matrix z = embedded(batch.inputs, w);
    std::array<double, 2 * kBatch> scale;
    for (size_t a = 0; a < 2 * kBatch; ++a) {
      double& own = u[size_t(samples[t][a % kBatch]) + (a < kBatch ? 0 : kSamples)];
      const double now = mean_of_others(z, a, kTau);
      own = own < 0 ? now : (1 - kGamma) * own + kGamma * now;
      scale[a] = kTau / own / (2 * kBatch);
    }
    const auto surrogate = [&](int64_t i, double by) {
      const Matrix at = embedded(batch.inputs, w, i, by);
      double sum = 0;
      for (size_t a = 0; a < 2 * kBatch; ++a) sum += scale[a] * mean_of_others(at, a, kTau);
      return sum;
    };
    const std::vector<double> dw = taken(step, "w", batch, int64_t(t) + 1);
    for (int64_t i = 0; i < w.size(); ++i)
      EXPECT_NEAR(dw[size_t(i)], (surrogate(i, 1e-5) - surrogate(i, -1e-5)) / 2e-5, 1e-4);
    const Tensor kept = step.state("contrastive:log_means");
    for (size_t i = 0; i < u.size(); ++i)
      if (u[i] < 0)
        EXPECT_LT(kept.at(int64_t(i)), -1e29);
      else
        EXPECT_NEAR(kept.at(int64_t(i)), std::log(u[i]), 1e-4) << i;
  }
}

TEST(Contrastive, TrainsResumesAndFindsViewsAgain) {
  const ThreadScope one_thread(1);
  const auto folder = std::filesystem::temp_directory_path() /
                      ("espalier_contrastive_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const auto data = testing::corners(40, 2);
  TemperatureNet net;
  net.reads = TemperatureNet::Reads::kEmbeddings;
  net.width = 5;
  net.least = 0.05;
  net.most = 0.5;
  const Graph g = with_temperature_net(testing::small_cnn(6), net, 3);
  TrainOptions o;
  o.epochs = 4;
  o.batch = 10;
  o.loss = Loss::kContrastive;
  o.contrastive.kind = Kind::kGlobal;
  o.rho = 0.3;
  o.augment = Augment::parse("shift=1");
  o.optimizer = {"adamw", {}, 0};
  o.schedule.peak = 0.01;
  o.output = g.value(g.outputs()[0]).name;
  struct StopAt : TrainHook {
    void after_step(Trainer& t, const StepReport& r) override {
      if (r.step == 6) t.stop();
    }
  } stop;
  const TrainFiles files = {folder, folder / "log"};
  Trainer whole(g, numbered(data), nullptr, o);
  const TrainResult result = whole.train();
  EXPECT_FALSE(Trainer(g, numbered(data), nullptr, o, files, {&stop}).train().finished);
  Trainer second(g, numbered(data), nullptr, o, files);
  ASSERT_TRUE(second.resume());
  second.train();
  for (const std::string& name : whole.state_names())
    EXPECT_TRUE(second.state(name).identical(whole.state(name))) << name;
  std::filesystem::remove_all(folder);
  EXPECT_LT(result.history.back().train_loss, result.history.front().train_loss);
  // Views that are equal are found; of others some are.
  EXPECT_EQ(retrieval(whole.network(), data, {}, 1, o.output).recall_1, 1);
  const Retrieval moved = retrieval(whole.network(), data, o.augment, 1, o.output);
  EXPECT_GT(moved.recall_1, 0.05);
  EXPECT_LE(moved.recall_1, moved.recall_5);
}

TEST(Contrastive, SaysWhatItCannotDo) {
  const auto data = testing::corners(40, 2);
  TrainOptions o;
  o.batch = 10;
  o.loss = Loss::kContrastive;
  const Graph g = with_embedding(testing::small_cnn(6));
  EXPECT_THAT(error_of([&] { Trainer(g, data, nullptr, o); }), HasSubstr("numbered() gives them"));
  o.rho = 1;
  EXPECT_THAT(error_of([&] { Trainer(g, numbered(data), nullptr, o); }),
              HasSubstr("predicts no temperature"));
  const Graph learned = with_learned_temperature(testing::small_cnn(6), 0.1);
  o.output = learned.value(learned.outputs()[0]).name;
  EXPECT_THAT(error_of([&] { Trainer(learned, numbered(data), nullptr, o); }),
              HasSubstr("choose the global kind"));
  o.rho.reset();
  o.contrastive.kind = Kind::kGlobal;
  EXPECT_THAT(error_of([&] { Trainer(learned, numbered(data), nullptr, o); }),
              HasSubstr("by its radius rho alone"));
  EXPECT_THAT(error_of([&] { with_embedding(testing::small_gpt(11, 6, 8)); }),
              HasSubstr("embeddings are [N, numbers]"));
}

}  // namespace
}  // namespace espalier

#include "train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <regex>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/threads.h"
#include "tests/train/networks.h"
#include "train/stop.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

struct Folder {
  fs::path path =
      fs::temp_directory_path() / ("espalier_trainer_" + std::to_string(::getpid()) + "_" +
                                   ::testing::UnitTest::GetInstance()->current_test_info()->name());
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
  TrainFiles files(const std::string& run) const {
    fs::create_directories(path / run);
    return {path / run / "checkpoints", path / run / "log.jsonl"};
  }
};

TrainOptions options(int64_t epochs, double rate) {
  TrainOptions o;
  o.epochs = epochs;
  o.batch = 16;
  o.seed = 3;
  o.schedule.peak = rate;
  o.optimizer.weight_decay = 1e-4;
  o.log_every = 3;
  return o;
}

template <class Body>
std::string error_of(Body body) {
  try {
    body();
  } catch (const UserError& e) {
    return std::string(e.what()) + " | " + e.hint();
  }
  return "nothing was thrown";
}

const bool kQuiet = (set_quiet(true), true);

TEST(Trainer, LearnsXor) {
  Tensor samples(DType::f32, {64, 2}), labels(DType::i64, {64});
  for (int64_t i = 0; i < 64; ++i) {
    const int a = int(i & 1), b = int(i >> 1 & 1);
    samples.mutable_data<float>()[2 * i] = float(2 * a - 1);
    samples.mutable_data<float>()[2 * i + 1] = float(2 * b - 1);
    labels.mutable_data<int64_t>()[i] = a ^ b;
  }
  const auto data = testing::dataset(samples, labels, 2, "xor");
  Trainer trainer(testing::mlp(2, 16, 2), data, data, options(60, 0.1));
  const TrainResult result = trainer.train();
  EXPECT_TRUE(result.finished);
  ASSERT_EQ(result.history.size(), 60u);
  EXPECT_LT(result.history.back().train_loss, 0.1 * result.history.front().train_loss);
  EXPECT_EQ(result.history.back().val_accuracy, 1);
}

TEST(Trainer, LearnsBlobsWithEveryOptimizer) {
  const std::map<std::string, double> rates = {
      {"sgd", 0.1},    {"adamw", 0.02},   {"lion", 0.005},  {"adafactor", 0.1},
      {"soap", 0.02},  {"shampoo", 0.02}, {"frugal", 0.01}, {"galore", 0.05},
      {"badam", 0.05}, {"signsgd", 0.005}};
  for (const std::string& kind : optimizer_names()) {
    SCOPED_TRACE(kind);
    TrainOptions o = options(12, rates.at(kind));
    o.optimizer.kind = kind;
    o.label_smoothing = 0.05;
    o.clip_norm = 5;
    const auto test = testing::blobs(300, 5, 9);
    Trainer trainer(testing::mlp(2, 16, 5), testing::blobs(400, 5, 1), test, o);
    trainer.train();
    EXPECT_GT(trainer.evaluate(*test).accuracy, 0.97);
  }
}

TEST(Trainer, LearnsNumbersByMeanSquares) {
  Tensor samples(DType::f32, {128, 2}), targets(DType::f32, {128, 1});
  for (int64_t i = 0; i < 128; ++i) {
    const float a = float(i % 16) / 8 - 1, b = float(i / 16) / 4 - 1;
    samples.mutable_data<float>()[2 * i] = a;
    samples.mutable_data<float>()[2 * i + 1] = b;
    targets.mutable_data<float>()[i] = a * b + a;
  }
  TrainOptions o = options(60, 0.05);
  o.loss = Loss::kMeanSquared;
  const auto data = testing::dataset(samples, targets, 0, "product");
  Trainer trainer(testing::mlp(2, 24, 1), data, data, o);
  const TrainResult result = trainer.train();
  EXPECT_LT(result.history.back().val_loss, 0.02);
}

/// Stops the run after a number of steps.
struct StopAt : TrainHook {
  int64_t at;
  explicit StopAt(int64_t step) : at(step) {}
  void after_step(Trainer& t, const StepReport& r) override {
    if (r.step + 1 == at) t.stop();
  }
};

/// Log lines without timings.
std::string log_of(const fs::path& path) {
  return std::regex_replace(read_file(path), std::regex("\"(val_)?seconds\":[^,}]*"), "");
}

TEST(Trainer, ResumesBitIdenticallyFromAnywhere) {
  const Folder folder;
  const auto train = testing::corners(100, 1), val = testing::corners(40, 2);
  const TrainOptions o = options(4, 0.05);  // 6 steps an epoch
  Trainer whole(testing::small_cnn(4), train, val, o, folder.files("whole"));
  const TrainResult expected = whole.train();
  for (const int64_t at : {1, 6, 9, 23}) {
    const TrainFiles files = folder.files("at" + std::to_string(at));
    StopAt stop(at);
    {
      Trainer first(testing::small_cnn(4), train, val, o, files, {&stop});
      EXPECT_FALSE(first.train().finished);
      EXPECT_EQ(first.steps_done(), at);
    }
    Trainer second(testing::small_cnn(4), train, val, o, files);
    // What was written after the checkpoint is forgotten.
    std::ofstream(files.log, std::ios::app) << "{\"torn";
    ASSERT_TRUE(second.resume());
    const TrainResult result = second.train();
    EXPECT_TRUE(result.finished);
    ASSERT_EQ(result.history.size(), expected.history.size());
    for (size_t i = 0; i < result.history.size(); ++i)
      EXPECT_TRUE(result.history[i].same_results(expected.history[i])) << "epoch " << i + 1;
    for (const std::string& name : whole.state_names())
      EXPECT_TRUE(second.state(name).identical(whole.state(name))) << name << " from " << at;
    EXPECT_EQ(log_of(files.log), log_of(folder.path / "whole" / "log.jsonl"));
  }
}

TEST(Trainer, RefusesToResumeWhatWouldNotEndTheSame) {
  const Folder folder;
  const auto data = testing::blobs(64, 3, 1);
  const TrainFiles files = folder.files("run");
  EXPECT_FALSE(Trainer(testing::mlp(2, 8, 3), data, data, options(1, 0.1), files).resume());
  Trainer(testing::mlp(2, 8, 3), data, data, options(1, 0.1), files).train();
  EXPECT_THAT(error_of([&] {
                Trainer(testing::mlp(2, 8, 3), data, data, options(2, 0.1), files).resume();
              }),
              HasSubstr("was made with epochs=1, not epochs=2"));
  EXPECT_THAT(error_of([&] {
                Trainer(testing::mlp(2, 9, 3), data, data, options(1, 0.1), files).resume();
              }),
              HasSubstr("was made with network="));
  const int threads = num_threads();
  set_num_threads(threads + 1);
  Trainer other(testing::mlp(2, 8, 3), data, data, options(1, 0.1), files);
  EXPECT_THAT(error_of([&] { other.resume(); }),
              HasSubstr("was made with " + std::to_string(threads) + " threads"));
  EXPECT_TRUE(other.resume(/*any_threads=*/true));
  set_num_threads(threads);
}

TEST(Trainer, NamesTheStepAtWhichItDivergesAndKeepsTheLastGoodState) {
  const Folder folder;
  const auto data = testing::blobs(64, 3, 1);
  struct Poison : TrainHook {
    void after_step(Trainer& t, const StepReport& r) override {
      if (r.step != 5) return;
      Tensor w = t.state("fc1.weight").clone();
      w.mutable_data<float>()[0] = NAN;
      t.set_state("fc1.weight", w);
    }
  } poison;
  const TrainFiles files = folder.files("run");
  Trainer trainer(testing::mlp(2, 8, 3), data, data, options(3, 0.1), files, {&poison});
  const std::string message = error_of([&] { trainer.train(); });
  EXPECT_THAT(message, HasSubstr("training: the loss became nan at step 6 (epoch 2)"));
  EXPECT_THAT(message, HasSubstr("the last good state is"));
  EXPECT_EQ(CheckpointFolder(files.checkpoints).newest()->step, 4);
}

TEST(Trainer, NamesTheFirstValueThatIsNotFinite) {
  const Folder folder;
  const auto data = testing::blobs(64, 3, 1);
  const TrainFiles files = folder.files("run");
  // A rate that makes weights grow past what f32 holds.
  TrainOptions o = options(40, 1e12);
  o.schedule.kind = Schedule::Kind::kConstant;
  Trainer trainer(testing::mlp(2, 8, 3), data, data, o, files);
  const std::string message = error_of([&] { trainer.train(); });
  EXPECT_THAT(message, ContainsRegex("training: .* at step [0-9]+"));
  EXPECT_THAT(message,
              ContainsRegex(
                  "the first value that is not finite is '.+' of .+, behind '.+' at step [0-9]+"));
  EXPECT_THAT(message, HasSubstr("the last good state is"));
  const auto kept = CheckpointFolder(files.checkpoints).newest();
  ASSERT_TRUE(kept);
  for (const auto& [name, t] : kept->states)
    for (int64_t i = 0; i < t.size(); ++i) ASSERT_TRUE(std::isfinite(t.at(i))) << name;
}

TEST(Trainer, HooksSeeStepsKeepTensorsAndStartFromGivenWeights) {
  const Folder folder;
  struct Counter : TrainHook {
    int64_t steps = 0, epochs = 0;
    double rate = 0;
    void on_gradients(StepGraph& s) override {
      Builder b(s.graph);
      const ValueId g = s.parameter("fc2.weight").gradient;
      s.add_output("energy", b.reduce_sum(b.mul(g, g), {0, 1}, false));
      s.add_input("keep", Tensor::scalar(1.0f));
    }
    void on_updates(StepGraph& s) override {
      Builder b(s.graph);
      StepParameter& p = s.parameter("fc1.bias");
      p.updated = b.mul(p.updated, s.graph.find("keep"));
    }
    void after_step(Trainer& t, const StepReport& r) override {
      ++steps;
      rate = r.learning_rate;
      EXPECT_GE(t.output("energy").at(0), 0);
      if (r.epoch == 0) t.set_input("keep", Tensor::scalar(0.0f));
    }
    void after_epoch(Trainer&, const EpochReport&) override { ++epochs; }
    std::map<std::string, Tensor> save() const override {
      return {{"steps", Tensor::scalar(steps)}};
    }
    void restore(const std::map<std::string, Tensor>& t) override {
      steps = t.at("steps").int_at(0);
    }
  } counter, later;
  const auto data = testing::blobs(64, 3, 1);
  const TrainFiles files = folder.files("run");
  Trainer trainer(testing::mlp(2, 8, 3), data, nullptr, options(2, 0.1), files, {&counter});
  trainer.train();
  EXPECT_EQ(counter.steps, 8);
  EXPECT_EQ(counter.epochs, 2);
  for (int64_t i = 0; i < 8; ++i) EXPECT_EQ(trainer.state("fc1.bias").at(i), 0);
  Trainer again(testing::mlp(2, 8, 3), data, nullptr, options(2, 0.1), files, {&later});
  EXPECT_TRUE(again.resume());
  EXPECT_EQ(later.steps, 8);
  // Training goes on from any network's weights.
  Trainer next(trainer.network(), data, nullptr, options(1, 0.1));
  EXPECT_TRUE(next.state("fc1.weight").identical(trainer.state("fc1.weight")));
}

TEST(Trainer, DataAndNetworkThatDoNotFitAreNamed) {
  EXPECT_THAT(error_of([] {
                Trainer(testing::mlp(2, 8, 2), testing::blobs(64, 3, 1), nullptr, options(1, 0.1));
              }),
              HasSubstr("mlp: answers with 2 classes, the data has 3"));
  TrainOptions o = options(1, 0.1);
  o.loss = Loss::kMeanSquared;
  EXPECT_THAT(
      error_of([&] { Trainer(testing::mlp(2, 8, 3), testing::blobs(64, 3, 1), nullptr, o); }),
      HasSubstr("blobs: has class labels, mean_squared needs numbers"));
  o.epochs = 0;
  EXPECT_THAT(
      error_of([&] { Trainer(testing::mlp(2, 8, 3), testing::blobs(64, 3, 1), nullptr, o); }),
      HasSubstr("training options: epochs must be at least 1"));
}

TEST(Evaluate, FillsTheLastBatchWithoutCountingIt) {
  const auto data = testing::blobs(50, 3, 4);
  const Graph g = testing::mlp(2, 8, 3);
  const Evaluation a = evaluate(g, *data, Loss::kCrossEntropy, 50);
  const Evaluation b = evaluate(g, *data, Loss::kCrossEntropy, 16);
  EXPECT_EQ(a.samples, 50);
  EXPECT_EQ(a.accuracy, b.accuracy);
  EXPECT_NEAR(a.loss, b.loss, 1e-9);
}

}  // namespace
}  // namespace espalier

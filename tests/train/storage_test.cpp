// Moments of optimisers stored in fewer bits: steps against the same with the formats' own
// functions, bytes, resuming, refusals.
#include "train/storage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/error.h"
#include "base/log.h"
#include "ir/verify.h"
#include "tests/train/networks.h"
#include "train/step_session.h"
#include "train/trainer.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
const bool kQuiet = (set_quiet(true), true);

constexpr int64_t kBatch = 8;
constexpr double kRate = 0.02;

Storage fp8(int64_t length, bool expand, const Float8Format* format = &kE4M3) {
  return {DType::f32, Float8Groups{format, length, expand}};
}

/// y = x weight, trained towards other numbers.
StepSession session_of(const Optimizer& optimizer, int64_t in = 6, int64_t out = 5) {
  Graph g;
  g.name = "one_layer";
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(in)}));
  g.add_output(b.matmul(x, testing::parameter(g, "weight", {in, out}, 0.4)));
  StepOptions o;
  o.input = {kBatch, in};
  o.loss = Loss::kMeanSquared;
  o.optimizer = optimizer;
  StepGraph step = build_training_step(g, o);
  EXPECT_EQ(violation(step.graph), "");
  return StepSession(std::move(step));
}

/// What is left of numbers that are stored in groups and read back, in double.
std::vector<double> through(std::vector<double> x, const Float8Groups& g) {
  for (size_t first = 0; first < x.size(); first += size_t(g.length)) {
    const size_t end = std::min(x.size(), first + size_t(g.length));
    double most = 0, least = 1e300;
    for (size_t i = first; i < end; ++i) {
      most = std::max(most, std::abs(x[i]));
      if (x[i] != 0) least = std::min(least, std::abs(x[i]));
    }
    const double scale = double(float(group_scale(float(most))));
    if (scale == 0) continue;
    const double k = g.expand ? double(group_power(*g.format, float(least), float(scale))) : 1.0;
    for (size_t i = first; i < end; ++i) {
      const double filled = double(g.format->most) * std::pow(std::abs(x[i]) / scale, k);
      const double code = double(g.format->decode(g.format->encode(float(filled))));
      x[i] = std::copysign(scale * std::pow(code / double(g.format->most), 1 / k), x[i]);
    }
  }
  return x;
}

/// Some steps of a layer [in, out]: how many elements are not where those are whose moments went
/// through the format.
int64_t strays(int64_t in, int64_t out, const Storage& states, int64_t steps) {
  // What was rounded to zero must not blow up steps of this test.
  StepSession session = session_of({"adamw", {{"epsilon", 1e-2}}, 0, states}, in, out);
  const Tensor x = testing::random_tensor({kBatch, in}, "x", 1);
  const Tensor y = testing::random_tensor({kBatch, out}, "y", 1);
  const Tensor first = session.state("weight");
  std::vector<double> w, m(size_t(in * out), 0), v(size_t(in * out), 0);
  for (int64_t i = 0; i < first.size(); ++i) w.push_back(first.at(i));
  int64_t astray = 0;
  for (int64_t t = 1; t <= steps; ++t) {
    session.run({x, y}, kRate, t);
    std::vector<double> gradient(size_t(in * out), 0);
    for (int64_t n = 0; n < kBatch; ++n)
      for (int64_t o = 0; o < out; ++o) {
        double d = -y.at(n * out + o);
        for (int64_t i = 0; i < in; ++i) d += x.at(n * in + i) * w[size_t(i * out + o)];
        for (int64_t i = 0; i < in; ++i)
          gradient[size_t(i * out + o)] += x.at(n * in + i) * d * 2 / double(kBatch * out);
      }
    for (size_t i = 0; i < w.size(); ++i) {
      m[i] = 0.9 * m[i] + 0.1 * gradient[i];
      v[i] = 0.999 * v[i] + 0.001 * gradient[i] * gradient[i];
      w[i] -= kRate * m[i] / (1 - std::pow(0.9, double(t))) /
              (std::sqrt(v[i] / (1 - std::pow(0.999, double(t)))) + 1e-2);
    }
    m = through(m, *states.float8);
    v = through(v, *states.float8);
  }
  const Tensor got = session.state("weight");
  for (int64_t i = 0; i < got.size(); ++i) {
    astray += std::abs(got.at(i) - w[size_t(i)]) > 1e-4;
    EXPECT_NEAR(got.at(i), w[size_t(i)], kRate) << i;
  }
  EXPECT_EQ(session.state("weight:first").dtype(), DType::u8);
  const Float8Groups& g = *states.float8;
  EXPECT_EQ(session.state("weight:first:scales").shape(), (Shape{g.count(in * out), g.beside()}));
  return astray;
}

TEST(StoredMoments, AdamStepsAsWithNumbersThatWentThroughTheFormat) {
  for (const bool expand : {true, false})
    for (const Float8Format* format : {&kE4M3, &kE5M2})
      EXPECT_EQ(strays(6, 5, fp8(8, expand, format), 6), 0) << format->name << expand;
}

/// More elements than are taken at once, and a last group that is short. An element that rounding
/// put on the other side of a middle goes another way from there, and takes others along.
TEST(StoredMoments, LargeParametersStepInParts) {
  EXPECT_LE(strays(67, 41, fp8(48, false), 2), 5);
  EXPECT_LE(strays(67, 41, fp8(128, true), 2), 5);
}

TEST(StoredMoments, BytesAreThoseOfTheStates) {
  const auto bytes = [](const Optimizer& o) { return session_of(o).graph().optimizer_bytes; };
  constexpr int64_t kElements = 6 * 5;
  EXPECT_EQ(bytes({"adamw", {}, 0, {}}), 2 * 4 * kElements);
  EXPECT_EQ(bytes({"adamw", {}, 0, {DType::bf16, {}}}), 2 * 2 * kElements);
  EXPECT_EQ(bytes({"adamw", {}, 0, fp8(8, true)}), 2 * (kElements + 4 * 4));
  EXPECT_EQ(bytes({"adamw", {}, 0, fp8(128, false)}), 2 * (kElements + 2));
  EXPECT_EQ(bytes({"lion", {}, 0, fp8(128, true)}), kElements + 4);
  EXPECT_EQ(bytes({"sgd", {}, 0, fp8(128, true)}), kElements + 4);
  // Preconditioners stay as they are.
  EXPECT_EQ(bytes({"soap", {}, 0, {}}) - bytes({"soap", {}, 0, fp8(128, true)}),
            2 * (4 * kElements - kElements - 4));
  const StepSession session = session_of({"adamw", {}, 0, fp8(8, true)});
  EXPECT_EQ(session.memory().states, 4 * kElements + session.graph().optimizer_bytes);
}

/// Stops a run after so many steps.
struct StopAfter : TrainHook {
  int64_t at;
  explicit StopAfter(int64_t n) : at(n) {}
  void after_step(Trainer& t, const StepReport& r) override {
    if (r.step + 1 == at) t.stop();
  }
};

TEST(StoredMoments, ResumeBitIdentically) {
  namespace fs = std::filesystem;
  const fs::path folder =
      fs::temp_directory_path() / ("espalier_storage_" + std::to_string(::getpid()));
  const auto data = testing::blobs(64, 4, 1);
  for (const Storage& states : {Storage{DType::bf16, {}}, fp8(16, true), fp8(16, false)}) {
    TrainOptions o;
    o.epochs = 3;
    o.batch = 8;
    o.seed = 3;
    o.schedule.peak = 0.01;
    o.optimizer = {"adamw", {}, 0.1, states};
    o.saved_activations = Float8Groups{&kE4M3, 16, false};
    Trainer whole(testing::mlp(2, 32, 4), data, nullptr, o);
    whole.train();
    const TrainFiles files = {folder / "checkpoints", {}};
    StopAfter stop(13);
    EXPECT_FALSE(
        Trainer(testing::mlp(2, 32, 4), data, nullptr, o, files, {&stop}).train().finished);
    TrainOptions other = o;
    other.optimizer.states = {};
    try {
      Trainer(testing::mlp(2, 32, 4), data, nullptr, other, files).resume();
      FAIL();
    } catch (const UserError& e) {
      EXPECT_THAT(e.what(), HasSubstr("states=" + states.text()));
    }
    Trainer second(testing::mlp(2, 32, 4), data, nullptr, o, files);
    ASSERT_TRUE(second.resume());
    EXPECT_TRUE(second.train().finished);
    for (const std::string& name : whole.state_names())
      EXPECT_TRUE(second.state(name).identical(whole.state(name))) << name;
    fs::remove_all(folder);
  }
}

TEST(StoredMoments, OptimisersWithoutMomentsAreRefused) {
  for (const Optimizer& o : std::vector<Optimizer>{{"signsgd", {}, 0, fp8(128, true)},
                                                   {"sgd", {{"momentum", 0}}, 0, fp8(128, true)}}) {
    try {
      session_of(o);
      FAIL();
    } catch (const UserError& e) {
      EXPECT_EQ(e.code(), ExitCode::kUnsupported);
      EXPECT_THAT(e.what(), HasSubstr("keeps no moments that could be stored as e4m3,group=128"));
    }
  }
}

}  // namespace
}  // namespace espalier

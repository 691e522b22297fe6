// Training within a limit of memory: the same step, bit for bit, from less.
#include "train/recompute.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/rng.h"
#include "ir/verify.h"
#include "runtime/session.h"
#include "tests/support/networks.h"
#include "train/step_session.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;

StepGraph step_of(const Graph& network, Shape input) {
  StepOptions o;
  o.input = std::move(input);
  // Not one that divides by the gradient: those that cancel are all rounding.
  o.optimizer = {"sgd", {{"momentum", 0.9}}, 0};
  o.clip_norm = 1;
  return build_training_step(network, o);
}

/// Twelve layers of equal size.
Graph deep() {
  testing::NetworkWriter w("deep");
  ValueId x = w.graph.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(16)}));
  for (int i = 0; i < 12; ++i) x = w.relu(w.linear(x, 16, "fc" + std::to_string(i)));
  return w.finish(w.linear(x, 5, "last"));
}

Graph with_dropout() {
  testing::NetworkWriter w("dropout");
  ValueId x = w.graph.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(16)}));
  for (int i = 0; i < 4; ++i) {
    x = w.relu(w.linear(x, 16, "fc" + std::to_string(i)));
    x = w.b.op("Dropout", {x, w.b.constant(Tensor::scalar(0.5f))})[0];
  }
  return w.finish(w.linear(x, 5, "last"));
}

Batch batch_of(const StepGraph& s, uint64_t seed) {
  const Rng rng(seed, 1);
  Batch b;
  const TensorType& x = s.graph.value(s.input).tensor();
  const TensorType& y = s.graph.value(s.targets).tensor();
  b.inputs = Tensor(x.dtype, x.shape());
  b.targets = Tensor(y.dtype, y.shape());
  for (int64_t i = 0; i < b.inputs.size(); ++i)
    b.inputs.mutable_data<float>()[i] = float(rng.uniform(uint64_t(i), -1, 1));
  for (int64_t i = 0; i < b.targets.size(); ++i)
    b.targets.mutable_data<int64_t>()[i] = int64_t(rng.bits(uint64_t(1000 + i)) % 5);
  return b;
}

/// Three steps of both: the largest difference in any state, beside the state's largest number.
double difference(const StepGraph& a, const StepGraph& b) {
  StepSession one(a), other(b);
  for (uint64_t k = 0; k < 3; ++k) {
    one.run(batch_of(a, k), 0.01, int64_t(k) + 1);
    other.run(batch_of(b, k), 0.01, int64_t(k) + 1);
  }
  double most = 0;
  for (const std::string& name : one.state_names()) {
    const Tensor x = one.state(name), y = other.state(name);
    double largest = 1e-2;
    for (int64_t i = 0; i < x.size(); ++i) largest = std::max(largest, std::abs(x.at(i)));
    for (int64_t i = 0; i < x.size(); ++i) {
      most = std::max(most, std::abs(x.at(i) - y.at(i)) / largest);
    }
  }
  return most;
}

TEST(Recompute, LeavesTheStepAsItIs) {
  for (const auto& [network, input] :
       {std::pair{deep(), Shape{8, 16}}, std::pair{with_dropout(), Shape{8, 16}},
        std::pair{testing::residual(), Shape{4, 3, 8, 8}},
        std::pair{testing::depthwise(), Shape{4, 3, 8, 8}}}) {
    SCOPED_TRACE(network.name);
    const StepGraph s = step_of(network, input);
    // Convolutions may be fused otherwise, which rounds otherwise.
    const bool exact = input.size() == 2;
    std::set<std::string> kept;
    int place = 0;
    for (const SavedValue& v : saved_values(s))
      if (place++ % 3 == 0) kept.insert(v.name);
    for (const std::set<std::string>& some : {kept, std::set<std::string>{}}) {
      const StepGraph again = keeping(s, some);
      EXPECT_EQ(violation(again.graph), "");
      EXPECT_GT(again.graph.order().size(), s.graph.order().size());
      EXPECT_LE(difference(s, again), exact ? 0 : 1e-4);
    }
  }
}

TEST(Recompute, WhatIsSavedIsKnown) {
  int layers = 0;
  for (const SavedValue& v : saved_values(step_of(deep(), {32, 16}))) {
    layers += v.bytes == 32 * 16 * 4;
    EXPECT_EQ(v.macs, 0) << v.name;
  }
  EXPECT_EQ(layers, 12);  // what each Relu gives: its gradient reads no product

  int products = 0;
  const StepGraph s = step_of(testing::residual(), {4, 3, 8, 8});
  for (const SavedValue& v : saved_values(s)) products += v.macs > 0;
  EXPECT_EQ(products, 6);  // a batch's norm reads each convolution
}

/// Running statistics change in the forward pass; what is computed again must not wait for them.
TEST(Recompute, NormsOfBatchesAreComputedAgainLate) {
  testing::NetworkWriter w("norms");
  ValueId x = w.graph.add_input("x", TensorType(DType::f32, Shape{64, 8, 8, 8}));
  for (int i = 0; i < 8; ++i) x = w.conv_bn_relu(x, 8, 3, "conv" + std::to_string(i));
  const StepGraph s = step_of(w.finish(w.linear(w.b.one("Flatten", {x}), 5, "fc")), {64, 8, 8, 8});
  const int64_t whole = StepSession(s).memory().arena;
  std::set<std::string> kept;
  for (const SavedValue& v : saved_values(s))
    if (v.macs > 0) kept.insert(v.name);
  EXPECT_EQ(kept.size(), 8u);
  EXPECT_LT(double(StepSession(keeping(s, kept)).memory().arena), 0.75 * double(whole));
}

/// Gradients are read by their updates alone, which do not wait for the other gradients.
TEST(Recompute, GradientsAreNotAllKept) {
  testing::NetworkWriter w("wide");
  ValueId x = w.graph.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(64)}));
  for (int i = 0; i < 12; ++i) x = w.relu(w.linear(x, 64, "fc" + std::to_string(i)));
  const Graph network = w.finish(x);
  StepOptions o;
  o.input = {1, 64};
  for (const char* kind : {"sgd", "adamw", "lion"}) {
    o.optimizer = {kind, {}, 0};
    const StepSession session(build_training_step(network, o));
    EXPECT_LT(session.memory().arena, 4 * 64 * 64 * 4) << kind;  // 12 gradients take 3 times that
  }
}

/// Three layers of 128 channels; the first is added to what the third gives.
Graph normalised() {
  testing::NetworkWriter w("normalised");
  ValueId x = w.graph.add_input("x", TensorType(DType::f32, Shape{5, 128, 16, 16}));
  x = w.conv_bn_relu(x, 128, 3, "conv1");
  const ValueId y = w.conv_bn_relu(x, 128, 3, "conv2");
  x = w.relu(w.b.add(w.batch_norm(w.conv(y, 128, 3, "conv3"), "conv3.bn"), x));
  return w.finish(w.linear(w.b.op("Flatten", {w.b.op("GlobalAveragePool", {x})[0]})[0], 5, "fc"));
}

/// Of the three layers, each of 655 kB, what their norms read is kept; two are made of that again.
TEST(Recompute, WhatCostsNextToNothingIsComputedAgain) {
  const StepGraph s = step_of(normalised(), {5, 128, 16, 16}), less = sparing(s);
  verify(less.graph, "sparing");
  constexpr int64_t kLayer = 5 * 128 * 16 * 16 * 4;
  const auto layers = [](const StepGraph& step) {
    const std::vector<SavedValue> saved = saved_values(step);
    return std::ranges::count_if(saved, [](const SavedValue& v) { return v.bytes >= kLayer; });
  };
  EXPECT_EQ(layers(s), 6);
  EXPECT_EQ(layers(less), 4);
  EXPECT_LE(StepSession(less).memory().arena, StepSession(s).memory().arena - kLayer * 9 / 10);
  EXPECT_EQ(difference(s, less), 0);
  // Where products are few, nothing is next to nothing.
  const StepGraph small = step_of(testing::residual(), {4, 3, 8, 8});
  EXPECT_EQ(sparing(small).graph.order().size(), small.graph.order().size());
}

/// What a step computes does not depend on whether norms take along what follows them.
TEST(Recompute, NormsWithWhatFollowsGiveTheSameBits) {
  const StepGraph s = step_of(normalised(), {5, 128, 16, 16});
  CompileOptions plain;
  plain.disabled_passes = {"fuse_bounded_norm"};
  std::vector<Session> sessions;
  sessions.emplace_back(compile(s.graph));
  sessions.emplace_back(compile(s.graph, plain));
  EXPECT_LT(sessions[0].program().instructions().size(),
            sessions[1].program().instructions().size());
  const Batch batch = batch_of(s, 1);
  for (Session& session : sessions) {
    for (const auto& [name, first] : s.initial) session.set_state(name, first);
    std::vector<Tensor> inputs;
    for (size_t i = 0; i < session.program().input_names().size(); ++i) {
      const TensorType& t = session.program().input_types()[i];
      inputs.push_back(t.rank() == 4   ? batch.inputs
                       : t.rank() == 1 ? batch.targets
                                       : Tensor::scalar(0.1f).cast(t.dtype));
    }
    session.run(inputs);
  }
  for (const auto& [name, first] : s.initial)
    EXPECT_TRUE(sessions[0].state(name).identical(sessions[1].state(name))) << name;
}

TEST(Recompute, FitsALimit) {
  const StepGraph s = step_of(deep(), {2048, 16});
  const int64_t whole = StepSession(s).memory().total();
  const FittedStep all = within_memory(s, whole);
  EXPECT_EQ(all.again, 0);
  EXPECT_EQ(all.before, whole);
  double extra = 0;
  for (const double share : {0.9, 0.75, 0.6}) {
    const auto limit = int64_t(share * double(whole));
    const FittedStep f = within_memory(s, limit);
    EXPECT_LE(f.memory.total(), limit);
    EXPECT_EQ(f.memory.total(), StepSession(f.step).memory().total());
    EXPECT_GT(f.again, 0);
    EXPECT_GE(f.extra, extra);
    EXPECT_LE(f.extra, 1);
    extra = f.extra;
    EXPECT_EQ(difference(s, f.step), 0);
  }
  try {
    within_memory(s, 1000);
    FAIL();
  } catch (const UserError& e) {
    EXPECT_EQ(e.code(), ExitCode::kInfeasible);
    EXPECT_THAT(e.what(), HasSubstr("needs at least"));
  }
}

}  // namespace
}  // namespace espalier

// Trainers whose backward pass inverts reversible blocks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "base/log.h"
#include "tests/support/error_of.h"
#include "tests/train/networks.h"
#include "train/trainer.h"

namespace espalier {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
const bool kQuiet = (set_quiet(true), true);

TrainOptions train_options() {
  TrainOptions o;
  o.epochs = 2;
  o.batch = 8;
  o.seed = 3;
  o.schedule.peak = 0.02;
  o.log_every = 0;
  o.reversible = true;
  return o;
}

/// Two blocks with norms and dropout, for samples of `testing::corners`.
Graph small_chain() {
  Graph g;
  g.name = "small";
  Builder b(g);
  const auto conv = [&](ValueId x, const std::string& name, int64_t in, int64_t out) {
    return b.one("Conv", {x, testing::parameter(g, name, {out, in, 3, 3}, 0.2)},
                 {{"pads", std::vector<int64_t>{1, 1, 1, 1}}}, name);
  };
  const auto term = [&](ValueId x, const std::string& name) {
    const auto vector = [&](const char* part, float value, Role role) {
      return g.add_constant(name + part, Tensor::from<float>({4}, {value, value, value, value}),
                            role);
    };
    const ValueId y = b.one("BatchNormalization",
                            {conv(x, name, 4, 4), vector(".weight", 1, Role::kParameter),
                             vector(".bias", 0, Role::kParameter),
                             vector(".mean", 0, Role::kBuffer), vector(".var", 1, Role::kBuffer)},
                            {}, name + ".norm");
    return b.op("Dropout", {b.one("Gelu", {y}), b.constant(Tensor::scalar(0.3f))})[0];
  };
  const Dims dims = {Dim::symbol("N"), Dim(2), Dim(6), Dim(6)};
  Values x = b.op(
      "Split", {conv(g.add_input("x", TensorType(DType::f32, dims)), "stem", 2, 8), b.ints({4, 4})},
      {{"axis", int64_t{1}}}, "", {"x1", "x2"});
  for (const std::string n : {"0", "1"}) {
    x[0] = b.add(x[0], term(x[1], "f" + n));
    x[1] = b.add(x[1], term(x[0], "g" + n));
  }
  const ValueId joined = b.one("Concat", x, {{"axis", int64_t{1}}});
  const ValueId pooled = b.one("Flatten", {b.one("GlobalAveragePool", {joined})});
  g.add_output(b.one("Gemm",
                     {pooled, testing::parameter(g, "fc.weight", {4, 8}, 0.5),
                      testing::parameter(g, "fc.bias", {4}, 0.1)},
                     {{"transB", int64_t{1}}}, "fc"));
  return g;
}

TEST(ReversibleTraining, TrainersSayWhatCannotBe) {
  const auto data = testing::corners(32, 1);
  const auto message = [&](const Graph& network, const std::function<void(TrainOptions&)>& change) {
    TrainOptions o = train_options();
    change(o);
    return error_of([&] { Trainer(network, data, data, o); });
  };
  EXPECT_THAT(message(testing::small_cnn(4), [](TrainOptions&) {}),
              HasSubstr("small_cnn: has no reversible blocks: no y1 = x1 + F(x2) with y2 = x2 + "
                        "G(y1) | leave training.reversible out"));
  EXPECT_THAT(message(small_chain(), [](TrainOptions& o) { o.precision = DType::bf16; }),
              HasSubstr("inverts blocks in f32 alone"));
  EXPECT_THAT(message(small_chain(), [](TrainOptions& o) { o.rule.kind = "spsa"; }),
              HasSubstr("rule 'spsa': keeps nothing that could be computed again | leave "
                        "reversible out"));
}

TEST(ReversibleTraining, InterruptedTrainingGoesOnToTheSameBits) {
  namespace fs = std::filesystem;
  const fs::path folder =
      fs::temp_directory_path() / ("espalier_reversible_" + std::to_string(::getpid()));
  const auto data = testing::corners(64, 1);
  Trainer whole(small_chain(), data, data, train_options());
  whole.train();
  struct StopAt : TrainHook {
    void after_step(Trainer& t, const StepReport& r) override {
      if (r.step == 10) t.stop();
    }
  };
  {
    StopAt stop;
    Trainer first(small_chain(), data, data, train_options(), {folder, {}}, {&stop});
    EXPECT_FALSE(first.train().finished);
  }
  TrainOptions kept = train_options();
  kept.reversible = false;
  Trainer other(small_chain(), data, data, kept, {folder, {}});
  EXPECT_THAT(error_of([&] { other.resume(); }), HasSubstr("was made with reversible=true"));
  Trainer second(small_chain(), data, data, train_options(), {folder, {}});
  ASSERT_TRUE(second.resume());
  EXPECT_TRUE(second.train().finished);
  for (const std::string& name : whole.state_names())
    EXPECT_TRUE(whole.state(name).identical(second.state(name))) << name;
  fs::remove_all(folder);
}

}  // namespace
}  // namespace espalier

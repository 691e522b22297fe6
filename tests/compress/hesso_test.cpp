#include "compress/hesso.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/rng.h"
#include "compress/restrict.h"
#include "data/dataset.h"
#include "ir/interpret.h"
#include "ir/text.h"
#include "tests/compress/cuts.h"
#include "tests/support/networks.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;

/// Noisy copies of five random patterns of 3 x 8 x 8.
std::shared_ptr<const Dataset> patterns(int64_t samples) {
  const Tensor prototypes = testing::random_tensor({5, 192}, "prototypes");
  ArrayDataset::Parts parts;
  parts.samples = testing::random_tensor({samples, 3, 8, 8}, "noise", -1.2, 1.2);
  parts.targets = Tensor(DType::i64, {samples});
  for (int64_t i = 0; i < samples; ++i) {
    parts.targets.mutable_data<int64_t>()[i] = i % 5;
    for (int64_t k = 0; k < 192; ++k)
      parts.samples.mutable_data<float>()[i * 192 + k] += prototypes.data<float>()[i % 5 * 192 + k];
    parts.rows.push_back(i);
  }
  parts.classes = 5;
  parts.description = "patterns";
  return std::make_shared<ArrayDataset>(std::move(parts));
}

TrainOptions short_training() {
  TrainOptions o;
  o.epochs = 6;
  o.batch = 32;
  o.log_every = 0;
  o.schedule.peak = 0.05;
  return o;
}

struct Trained {
  Graph trained;
  Keep keep;
  Graph cut;
};
Trained finish(Trainer& trainer, const Hesso& hesso) {
  EXPECT_TRUE(trainer.train().finished);
  return {trainer.network(), hesso.keep(), hesso.cut(trainer.network())};
}

TEST(Hesso, MeetsTheBudgetWithRedundantGroupsExactlyZero) {
  const Graph network = testing::residual();
  Hesso hesso(axis_classes(network), {.budget = {.macs = 0.5}});
  const auto data = patterns(320);
  Trainer trainer(network, data, nullptr, short_training(), {}, {&hesso});
  const Trained run = finish(trainer, hesso);
  const AxisClasses& classes = hesso.classes();
  const double share =
      cost_of_cut(classes, run.keep).macs / cost_of_cut(classes, Keep::all(classes)).macs;
  EXPECT_LE(share, 0.5);
  EXPECT_GT(share, 0.4);
  // Zeroed and cut networks answer alike, exactly on the reference kernels.
  const auto x = testing::random_inputs(network, 4, 1);
  EXPECT_EQ(testing::largest_difference(interpret(run.trained, x)[0], interpret(run.cut, x)[0]), 0);
  EXPECT_GT(evaluate(run.cut, *data, Loss::kCrossEntropy).accuracy, 0.9);
}

// However few the steps are, the budget is met.
TEST(Hesso, MeetsTheBudgetInFewSteps) {
  const Graph network = testing::residual();
  for (const int64_t steps : {1, 2, 3, 7, 10, 12, 14, 16, 18}) {
    Hesso hesso(axis_classes(network), {.budget = {.macs = 0.5}});
    TrainOptions options = short_training();
    options.epochs = steps;
    Trainer trainer(network, patterns(32), nullptr, options, {}, {&hesso});
    const Trained run = finish(trainer, hesso);
    const AxisClasses& classes = hesso.classes();
    const double share =
        cost_of_cut(classes, run.keep).macs / cost_of_cut(classes, Keep::all(classes)).macs;
    EXPECT_LE(share, 0.5) << steps << " steps";
    const auto x = testing::random_inputs(network, 4, 1);
    EXPECT_EQ(testing::largest_difference(interpret(run.trained, x)[0], interpret(run.cut, x)[0]),
              0);
  }
}

TEST(Hesso, AResumedRunEndsTheSame) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / "hesso_resume";
  std::filesystem::remove_all(folder);
  const Graph network = testing::residual();
  const auto data = patterns(96);
  const auto make = [&] { return Hesso(axis_classes(network), {.budget = {.macs = 0.6}}); };
  Hesso whole = make();
  Trainer undisturbed(network, data, nullptr, short_training(), {}, {&whole});
  const Trained want = finish(undisturbed, whole);

  struct Interrupt : TrainHook {
    int64_t at = 0;
    void after_step(Trainer& t, const StepReport& r) override {
      if (r.step == at) t.stop();
    }
  };
  for (int64_t at : {2, 7, 13}) {
    std::filesystem::remove_all(folder);
    TrainFiles files;
    files.checkpoints = folder;
    Interrupt interrupt;
    interrupt.at = at;
    Hesso before = make(), after = make();
    Trainer first(network, data, nullptr, short_training(), files, {&before, &interrupt});
    EXPECT_FALSE(first.train().finished);
    Trainer second(network, data, nullptr, short_training(), files, {&after});
    ASSERT_TRUE(second.resume());
    const Trained got = finish(second, after);
    EXPECT_EQ(got.keep.groups, want.keep.groups) << "stopped after step " << at;
    EXPECT_EQ(print(got.trained), print(want.trained)) << "stopped after step " << at;
  }
  std::filesystem::remove_all(folder);
}

TEST(Hesso, GroupsThatZeroCannotSilenceStay) {
  testing::NetworkWriter n("normed");
  const ValueId x = n.graph.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(6)}));
  ValueId h = n.linear(x, 16, "fc1");
  h = n.b.one("LayerNormalization",
              {h, n.parameter("ln.weight", {16}, 0.5, 1.5), n.parameter("ln.bias", {16}, -1, 1)});
  const Graph network = n.finish(n.linear(h, 3, "fc2"));
  try {
    Hesso hesso(axis_classes(network), {.budget = {.macs = 0.5}});
    FAIL();
  } catch (const UserError& e) {
    EXPECT_EQ(e.code(), ExitCode::kInfeasible);
    EXPECT_THAT(e.hint(), HasSubstr("reads all of it at once"));
  }
}

TEST(Hesso, ACheckpointOfAnotherNetworkIsRefused) {
  Hesso hesso(axis_classes(testing::mlp()), {.budget = {.macs = 0.5}});
  EXPECT_THROW(hesso.restore({}), UserError);
  EXPECT_THROW(hesso.restore({{"fates", Tensor(DType::u8, {3})}}), UserError);
}

}  // namespace
}  // namespace espalier

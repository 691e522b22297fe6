#include "compress/incubation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/temporary_folder.h"
#include "tests/support/error_of.h"
#include "tests/train/networks.h"

namespace espalier {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using testing::residual_mlp;
using Tensors = std::map<std::string, Tensor>;

const bool kQuiet = (set_quiet(true), true);

TrainOptions options() {
  TrainOptions o;
  o.epochs = 3;
  o.epoch_steps = 4;
  o.batch = 16;
  o.seed = 3;
  o.optimizer = {"adamw", {}, 0.01};
  o.schedule.peak = 0.01;
  o.schedule.warmup = 2;
  return o;
}

std::shared_ptr<const Dataset> data() { return testing::blobs(256, 3, 1); }

IncubationTrainer trainer(const Incubation& incubation, int64_t layers = 4) {
  return IncubationTrainer(residual_mlp(layers), data(), data(), options(), incubation);
}

constexpr Incubation kTwo = {.modules = 2, .meta_epochs = 3, .module_epochs = 2};

TEST(Incubation, TrainsTheMetaModelThenEachModule) {
  const IncubatedNetwork n = trainer(kTwo).train();
  ASSERT_TRUE(n.finished);
  std::vector<std::string> names;
  std::vector<int64_t> parameters, trained, epochs;
  for (const JobReport& j : n.jobs) {
    names.push_back(j.name);
    parameters.push_back(j.parameters);
    trained.push_back(j.trained);
    epochs.push_back(int64_t(j.history.size()));
    EXPECT_GT(j.memory.total(), 0);
  }
  EXPECT_THAT(names, ElementsAre("meta", "module1", "module2"));
  EXPECT_THAT(epochs, ElementsAre(3, 2, 2));
  EXPECT_THAT(parameters, ElementsAre(24 + 2 * 72 + 27, 24 + 3 * 72 + 27, 24 + 3 * 72 + 27));
  EXPECT_THAT(trained, ElementsAre(24 + 2 * 72 + 27, 24 + 2 * 72, 2 * 72 + 27));
  // Forward, gradients of what is trained, and of what is read from the first trained layer on.
  EXPECT_EQ(n.jobs[0].step_macs, 16 * (3 * (16 + 2 * 64 + 24) - 16));
  EXPECT_EQ(n.jobs[1].step_macs, 16 * ((16 + 3 * 64 + 24) + (16 + 2 * 64) + (3 * 64 + 24)));
  EXPECT_EQ(n.jobs[2].step_macs, 16 * ((16 + 3 * 64 + 24) + (2 * 64 + 24) + (64 + 24)));
  double macs = 0;
  for (const JobReport& j : n.jobs) macs += j.macs();
  EXPECT_EQ(trainer(kTwo).planned_macs(4), macs);
  EXPECT_EQ(n.values.size(), 12u);
}

/// The values of a network trained by hand.
Tensors trained_by_hand(Graph network, const std::optional<std::set<std::string>>& trained,
                        int64_t epochs, uint64_t job) {
  TrainOptions o = options();
  o.epochs = epochs;
  o.trained = trained;
  o.seed = Rng(o.seed, stream_of("incubation")).bits(job) >> 1;
  Trainer t(std::move(network), data(), nullptr, o);
  t.train();
  const Graph result = t.network();
  Tensors values;
  for (ValueId v : result.constants()) values[result.value(v).name] = *result.value(v).constant;
  return values;
}

TEST(Incubation, IsWhatItsJobsByHandAre) {
  const std::vector<ModulePart> meta_parts(2, ModulePart::kStandIn);
  const ModuleSplit split(residual_mlp(4), 2);
  const Tensors meta = trained_by_hand(split.with_parts(meta_parts), std::nullopt, 3, 0);
  // The second module in the meta model, whose other layers stay.
  Graph hybrid = split.with_parts(std::array{ModulePart::kStandIn, ModulePart::kWhole});
  const std::set<std::string> own = split.constants(1);
  Tensors frozen = meta;
  for (const std::string& name : own) frozen.erase(name);
  hybrid = with_values(hybrid, frozen);
  const Tensors second = trained_by_hand(hybrid, own, 2, 2);
  for (const auto& [name, t] : frozen) EXPECT_TRUE(second.at(name).identical(t)) << name;
  const IncubatedNetwork n = trainer(kTwo).train();
  for (const std::string& name : own)
    EXPECT_TRUE(n.values.at(name).identical(second.at(name))) << name;
  // The first layer is the first module's own, trained anew.
  EXPECT_FALSE(n.values.at("first.weight").identical(meta.at("first.weight")));
}

TEST(Incubation, WhatSeveralModulesReadIsTheMetaModels) {
  Graph g;
  g.name = "tied";
  Builder b(g);
  ValueId v = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(2)}));
  v = b.matmul(v, testing::parameter(g, "first", {2, 8}, 0.4));
  const ValueId shift = testing::parameter(g, "shift", {8}, 0.4);
  for (int i = 0; i < 4; ++i)
    v = b.add(v,
              b.one("Tanh",
                    {b.add(b.matmul(v, testing::parameter(g, "w" + std::to_string(i), {8, 8}, 0.4)),
                           shift)}));
  g.add_output(b.matmul(v, testing::parameter(g, "last", {8, 3}, 0.4)));
  const ModuleSplit split(g, 2);
  const Tensors meta =
      trained_by_hand(split.with_parts(std::vector(2, ModulePart::kStandIn)), std::nullopt, 3, 0);
  const IncubatedNetwork n = IncubationTrainer(g, data(), data(), options(), kTwo).train();
  EXPECT_EQ(n.values.size(), 7u);
  EXPECT_TRUE(n.values.at("shift").identical(meta.at("shift")));
  EXPECT_FALSE(n.values.at("w0").identical(meta.at("w0")));
}

TEST(Incubation, WithoutAMetaModel) {
  Incubation i = kTwo;
  i.around = Around::kBelow;
  const IncubatedNetwork greedy = trainer(i).train();
  ASSERT_TRUE(greedy.finished);
  ASSERT_EQ(greedy.jobs.size(), 2u);
  EXPECT_EQ(greedy.values.size(), 12u);
  // The second trains its layers and the last one; the first module stays.
  EXPECT_EQ(greedy.jobs[1].trained, 2 * 72 + 27);
  EXPECT_EQ(greedy.jobs[1].parameters, 24 + 4 * 72 + 27);
  const ModuleSplit split(residual_mlp(4), 2);
  const Tensors first = trained_by_hand(
      split.with_parts(std::array{ModulePart::kWhole, ModulePart::kNothing}), std::nullopt, 2, 0);
  EXPECT_TRUE(greedy.values.at("first.weight").identical(first.at("first.weight")));
  i.around = Around::kNothing;
  const IncubatedNetwork alone = trainer(i).train();
  EXPECT_TRUE(alone.values.at("layer1.weight").identical(first.at("layer1.weight")));
  EXPECT_FALSE(alone.values.at("layer2.weight").identical(greedy.values.at("layer2.weight")));
  EXPECT_EQ(alone.jobs[1].trained, 24 + 2 * 72 + 27);
}

TEST(Incubation, JobsAloneInAnyOrderGiveTheSame) {
  const IncubatedNetwork whole = trainer(kTwo).train();
  const TemporaryFolder folder("incubation");
  IncubationFiles files{folder.path(), true};
  const auto only = [&](const std::string& job) {
    files.only = job;
    return trainer(kTwo).train(files);
  };
  EXPECT_THAT(error_of([&] { only("module2"); }), HasSubstr("needs meta"));
  EXPECT_THAT(error_of([&] { only("module3"); }), HasSubstr("meta to module2"));
  for (const char* job : {"meta", "module2", "module1"}) {
    const IncubatedNetwork n = only(job);
    EXPECT_TRUE(n.only_finished);
    EXPECT_FALSE(n.finished);
    const auto j = nlohmann::json::parse(read_file(folder.path() / job / "job.json"));
    EXPECT_EQ(j["job"], job);
    EXPECT_EQ(j["finished"], true);
    EXPECT_EQ(j["macs"], n.jobs.back().macs());
    EXPECT_EQ(j["bytes"], n.jobs.back().memory.total());
  }
  const IncubatedNetwork joined = only("");
  ASSERT_TRUE(joined.finished);
  for (const auto& [name, t] : whole.values)
    EXPECT_TRUE(joined.values.at(name).identical(t)) << name;
}

TEST(Incubation, WrongSettingsAreRefused) {
  EXPECT_THAT(error_of([] { trainer({.modules = 1}); }), HasSubstr("two modules"));
  EXPECT_THAT(error_of([] { trainer({.meta_epochs = 0}); }), HasSubstr("an epoch at least"));
  EXPECT_THAT(error_of([] { trainer({.module_epochs = 0}); }), HasSubstr("an epoch at least"));
  EXPECT_THAT(error_of([] { trainer({.rate = -1}); }), HasSubstr("positive"));
  EXPECT_THAT(error_of([] { trainer({.modules = 5}); }), HasSubstr("too few"));
}

TEST(Incubation, TextSaysWhatMatters) {
  EXPECT_EQ(kTwo.text(), "modules=2,around=meta,meta_epochs=3,module_epochs=2,rate=1");
  Incubation i = kTwo;
  i.around = Around::kNothing;
  EXPECT_EQ(i.text(), "modules=2,around=nothing,module_epochs=2,rate=1");
}

}  // namespace
}  // namespace espalier

// Modes of normalisations: eval and tune are the same function with the same gradients, tune keeps
// less, deploy trains folded weights, and each block has the mode of its rule.
#include "train/norm_mode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/log.h"
#include "base/threads.h"
#include "ir/interpret.h"
#include "ir/room.h"
#include "ir/verify.h"
#include "tests/support/error_of.h"
#include "tests/train/networks.h"
#include "train/step_session.h"
#include "train/trainer.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
const bool kQuiet = (set_quiet(true), true);

using ::espalier::testing::error_of;

/// The small network with statistics and affine parameters that are not those of a fresh one.
Graph network() {
  Graph g = testing::small_cnn(4);
  for (const std::string norm : {"bn1", "bn2"})
    for (const std::string part : {".weight", ".bias", ".mean", ".var"}) {
      Tensor t = testing::random_tensor({4}, norm + part, 0.4);
      for (int64_t i = 0; i < 4; ++i)
        if (part == ".var" || part == ".weight")
          t.mutable_data<float>()[i] = 0.3f + std::abs(t.mutable_data<float>()[i]);
      g.mutable_value(g.find(norm + part)).constant = t;
    }
  return g;
}

TrainOptions options(NormRules rules) {
  TrainOptions o;
  o.epochs = 2;
  o.batch = 16;
  o.seed = 3;
  o.schedule.peak = 0.05;
  o.log_every = 0;
  o.norms = std::move(rules);
  return o;
}

struct Ran {
  std::map<std::string, Tensor> gradients;
  double loss = 0;
  StepMemory memory;
  int statistics = 0;  ///< nodes of the step that normalise by them
};

Ran run(const Graph& g, NormRules rules) {
  const auto data = testing::corners(16, 1);
  std::vector<std::string> names;
  const StepExtension told{[&](StepGraph& s) {
                             Builder b(s.graph);
                             for (const StepParameter& p : s.parameters) {
                               names.push_back(p.name);
                               s.add_output("d:" + p.name, b.one("Identity", {p.gradient}));
                             }
                           },
                           {}};
  StepGraph step =
      build_training_step(g, step_options(options(std::move(rules)), *data), {&told, 1});
  EXPECT_EQ(violation(step.graph), "");
  Ran r;
  for (NodeId id : step.graph.order())
    r.statistics += step.graph.node(id).room->op.name == "BatchNormalization";
  StepSession session(std::move(step));
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < 16; ++i) rows.push_back(i);
  session.run(data->fetch(rows), 0, 1);
  r.loss = session.scalar(session.graph().loss);
  r.memory = session.memory();
  for (const std::string& name : names) r.gradients[name] = session.output("d:" + name);
  return r;
}

TEST(NormMode, TuneHasTheGradientsOfEvalAndKeepsLess) {
  const ThreadScope one_thread(1);
  const Ran eval = run(network(), {{NormMode::kEval, {}}}),
            tune = run(network(), {{NormMode::kTune, {}}});
  EXPECT_EQ(eval.statistics, 2);
  EXPECT_EQ(tune.statistics, 0);
  EXPECT_NEAR(tune.loss, eval.loss, 1e-6);
  EXPECT_LT(tune.memory.arena, eval.memory.arena);
  ASSERT_EQ(tune.gradients.size(), eval.gradients.size());
  for (const auto& [name, d] : eval.gradients) {
    double norm = 0;
    for (int64_t i = 0; i < d.size(); ++i) norm += d.at(i) * d.at(i);
    EXPECT_GT(norm, 0) << name;
    for (int64_t i = 0; i < d.size(); ++i)
      EXPECT_NEAR(tune.gradients.at(name).at(i), d.at(i), 1e-5 * std::sqrt(norm)) << name;
  }
}

TEST(NormMode, StatisticsStayAndEverythingElseIsTrained) {
  const ThreadScope one_thread(1);
  for (NormMode mode : {NormMode::kEval, NormMode::kTune}) {
    const Graph before = network();
    Trainer trainer(before, testing::corners(64, 1), nullptr, options({{mode, {}}}));
    trainer.train();
    const Graph after = trainer.network();
    for (ValueId v : before.constants()) {
      const Value& value = before.value(v);
      if (value.role == Role::kNone) continue;
      const Tensor& now = *after.value(after.find(value.name)).constant;
      EXPECT_EQ(now.identical(*value.constant), value.role == Role::kBuffer) << value.name;
    }
  }
}

TEST(NormMode, DeployTrainsTheFoldedNetwork) {
  const ThreadScope one_thread(1);
  const NormRules rules = {{NormMode::kDeploy, {}}};
  const Graph given = network(), folded = deployed(given, rules);
  EXPECT_EQ(folded.find("bn1.mean"), kNoValue);
  EXPECT_EQ(folded.value(folded.find("conv1.weight")).constant->shape(), (Shape{4, 2, 3, 3}));
  EXPECT_EQ(folded.value(folded.find("bn1.bias")).role, Role::kParameter);
  const Tensor x = testing::random_tensor({3, 2, 6, 6}, "x", 1);
  const Tensor a = interpret(given, std::vector<Tensor>{x}).at(0),
               b = interpret(folded, std::vector<Tensor>{x}).at(0);
  for (int64_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a.at(i), b.at(i), 1e-5);
  const Ran run_folded = run(folded, rules), eval = run(given, {{NormMode::kEval, {}}});
  EXPECT_NEAR(run_folded.loss, eval.loss, 1e-6);
  EXPECT_EQ(run_folded.gradients.size(), 6u);
}

TEST(NormMode, EachBlockFollowsTheFirstRuleThatFits) {
  const NormRules rules = {{NormMode::kTune, {"bn1*"}}, {NormMode::kEval, {"bn1*", "bn2*"}}};
  const auto modes = norm_modes(network(), rules);
  ASSERT_EQ(modes.size(), 2u);
  EXPECT_EQ(run(network(), rules).statistics, 1);
  EXPECT_EQ(to_string(rules), "tune(bn1*),eval(bn1*+bn2*)");
  // Without a rule for it the second follows the batches.
  const ThreadScope one_thread(1);
  Trainer trainer(network(), testing::corners(32, 1), nullptr,
                  options({{NormMode::kTune, {"bn1*"}}}));
  trainer.train();
  const Graph before = network(), after = trainer.network();
  const auto value = [](const Graph& g, const char* name) {
    return *g.value(g.find(name)).constant;
  };
  EXPECT_TRUE(value(before, "bn1.var").identical(value(after, "bn1.var")));
  EXPECT_FALSE(value(before, "bn2.var").identical(value(after, "bn2.var")));
}

TEST(NormMode, RulesThatDoNotFitAreErrors) {
  EXPECT_THAT(error_of([] {
                norm_modes(network(), {{NormMode::kTune, {"bn3*"}}});
              }),
              AllOf(HasSubstr("'bn3*' is the name of no normalisation"), HasSubstr("bn1.weight")));
  EXPECT_THAT(error_of([] {
                norm_modes(network(), {{NormMode::kEval, {}}, {NormMode::kTune, {"bn1*"}}});
              }),
              HasSubstr("no normalisation is left for the rule 'tune(bn1*)'"));
  EXPECT_THAT(error_of([] {
                norm_modes(testing::mlp(2, 3, 2), {{NormMode::kTune, {}}});
              }),
              HasSubstr("mlp has no normalisation with running statistics"));
  // A normalisation before its contraction has nothing to be folded into.
  Graph alone;
  alone.name = "alone";
  Builder b(alone);
  const ValueId x = alone.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(4)}));
  const auto vector = [&](const std::string& name, Role role) {
    return alone.add_constant(name, testing::random_tensor({4}, "v", 0.1), role);
  };
  const ValueId y =
      b.one("BatchNormalization",
            {x, vector("bn.weight", Role::kParameter), vector("bn.bias", Role::kParameter),
             vector("bn.mean", Role::kBuffer), vector("bn.var", Role::kBuffer)},
            {}, "bn");
  alone.add_output(b.one("Gemm", {y, testing::parameter(alone, "w", {4, 2}, 1)}));
  EXPECT_THAT(error_of([&] {
                norm_modes(alone, {{NormMode::kTune, {}}});
              }),
              AllOf(HasSubstr("none stands behind a contraction"), HasSubstr("mode eval")));
  EXPECT_EQ(norm_modes(alone, {{NormMode::kEval, {}}}).size(), 1u);
}

}  // namespace
}  // namespace espalier

// Parametrisations: their exponents, and that a network trained by them is the one whose weights
// stand behind multipliers written out.
#include "train/parametrization.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/log.h"
#include "tests/support/run_op.h"
#include "tests/train/networks.h"
#include "train/step_session.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using testing::user_error;
const bool kQuiet = (set_quiet(true), true);

constexpr int64_t kIn = 3, kBase = 4, kWide = 16, kOut = 5, kBatch = 6;

/// in -> width -> width -> out, each weight behind a multiplier where one is given.
Graph layers(int64_t width, double hidden_multiplier = 1, double output_multiplier = 1) {
  Graph g;
  g.name = "layers";
  Builder b(g);
  ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(kIn)}));
  const auto layer = [&](ValueId v, const std::string& name, int64_t in, int64_t out, double m) {
    ValueId w = testing::parameter(g, name + ".weight", {out, in}, 0.5);
    if (m != 1) w = b.mul(w, m);
    return b.one("Gemm", {v, w, testing::parameter(g, name + ".bias", {out}, 0.1)},
                 {{"transB", int64_t{1}}}, name);
  };
  x = b.one("Tanh", {layer(x, "first", kIn, width, 1)});
  x = b.one("Tanh", {layer(x, "middle", width, width, hidden_multiplier)});
  g.add_output(layer(x, "last", width, kOut, output_multiplier));
  return g;
}

std::map<std::string, WidthScale> scales_of(const std::string& kind, const char* optimizer) {
  const OptimizerUnit& unit = find_optimizer(optimizer);
  return width_scales(layers(kWide), layers(kBase), parametrization(kind, unit), unit);
}

TEST(Parametrization, ScalesAreThoseOfThePapers) {
  const double n = double(kWide) / kBase;
  auto s = scales_of("mup", "adamw");
  EXPECT_EQ(s["first.weight"].role, WidthRole::kInput);
  EXPECT_EQ(s["middle.weight"].role, WidthRole::kHidden);
  EXPECT_EQ(s["last.weight"].role, WidthRole::kOutput);
  EXPECT_EQ(s["first.bias"].role, WidthRole::kInput);
  EXPECT_EQ(s["last.bias"].role, WidthRole::kFixed);
  const auto expect = [&](const std::string& name, double deviation, double rate) {
    EXPECT_DOUBLE_EQ(s[name].deviation, deviation) << name;
    EXPECT_DOUBLE_EQ(s[name].rate, rate) << name;
  };
  // Table 3 of arXiv:2203.03466; fan-in relative to the base's.
  expect("first.weight", 1, 1);
  expect("first.bias", 1, 1);
  expect("middle.weight", 1 / std::sqrt(n), 1 / n);
  expect("last.weight", 1 / n, 1 / n);
  expect("last.bias", 1, 1);
  s = scales_of("mup", "sgd");
  expect("first.weight", 1, n);
  expect("first.bias", 1, n);
  expect("middle.weight", 1 / std::sqrt(n), 1);
  expect("last.weight", 1 / n, 1 / n);
  s = scales_of("standard", "sgd");
  expect("first.weight", 1, 1);
  expect("middle.weight", 1 / std::sqrt(n), 1);
  expect("last.weight", 1 / std::sqrt(n), 1);
  s = scales_of("ntk", "sgd");
  expect("first.weight", 1, 1);
  expect("middle.weight", 1 / std::sqrt(n), 1 / n);
  expect("last.weight", 1 / std::sqrt(n), 1 / n);
  s = scales_of("ntk", "lion");
  expect("middle.weight", 1 / std::sqrt(n), 1 / std::sqrt(n));
}

StepSession session_of(const Graph& g, const Optimizer& optimizer,
                       std::map<std::string, double> factors = {}) {
  StepOptions o;
  o.input = {kBatch, kIn};
  o.loss = Loss::kMeanSquared;
  o.optimizer = optimizer;
  o.rate_factors = std::move(factors);
  return StepSession(build_training_step(g, o));
}

/// The loss at each of some steps.
std::vector<double> losses_of(StepSession& s, double rate) {
  std::vector<double> losses;
  for (int64_t step = 1; step <= 6; ++step) {
    const std::string name = "batch" + std::to_string(step);
    s.run({testing::random_tensor({kBatch, kIn}, name, 1),
           testing::random_tensor({kBatch, kOut}, name + "y", 1)},
          rate, step);
    losses.push_back(s.scalar(s.graph().loss));
  }
  return losses;
}

/// The kernel's parametrisation with its multipliers as nodes, trained at one rate, and ours, which
/// has none.
TEST(Parametrization, IsTheNetworkBehindMultipliers) {
  const double n = double(kWide) / kBase, m = 1 / std::sqrt(n);
  for (const char* kind : {"sgd", "signsgd"}) {
    const Optimizer optimizer{kind, {}, 0};
    StepSession written = session_of(layers(kWide, m, m), optimizer);
    Graph g = layers(kWide);
    auto scales = scales_of("ntk", kind);
    std::map<std::string, double> own, base;
    for (const char* name : {"first.weight", "middle.weight", "last.weight"})
      own[name] = base[name] = 0.5;
    scale_first_values(g, scales, own, base);
    std::map<std::string, double> factors;
    for (const auto& [name, s] : scales) factors[name] = s.rate;
    StepSession folded = session_of(g, optimizer, factors);
    const auto a = losses_of(written, 0.05), b = losses_of(folded, 0.05);
    EXPECT_LT(a.back(), a.front());
    for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-5 * a[i]) << kind;
  }
}

TEST(Parametrization, FactorsScaleRatesAndLeaveDecayAlone) {
  const Graph g = layers(kBase);
  std::map<std::string, double> factors;
  for (ValueId v : g.constants()) factors[g.value(v).name] = 0.25;
  for (const char* kind : {"adamw", "lion", "sgd", "signsgd"}) {
    StepSession scaled = session_of(g, {kind, {}, 0.1}, factors);
    StepSession plain = session_of(g, {kind, {}, 0.4});
    const auto a = losses_of(scaled, 0.04), b = losses_of(plain, 0.01);
    for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-6) << kind;
  }
}

TEST(Parametrization, RefusesWhatItDoesNotKnow) {
  EXPECT_THAT(user_error([] { parametrization("mup", find_optimizer("soap")); }),
              HasSubstr("it is not known how its rate should follow the width"));
  EXPECT_THAT(user_error([] { parametrization("mupp", find_optimizer("sgd")); }),
              HasSubstr("parametrisation 'mupp'"));
  const OptimizerUnit& sgd = find_optimizer("sgd");
  const Parametrization p = parametrization("mup", sgd);
  EXPECT_THAT(
      user_error([&] { width_scales(layers(kWide), testing::mlp(kIn, kBase, kOut), p, sgd); }),
      HasSubstr("has the parameter 'first.weight', its base has none"));
}

}  // namespace
}  // namespace espalier

#include "passes/differentiate.h"

#include <gtest/gtest.h>

#include <algorithm>

#include <cmath>

#include "ir/builder.h"
#include "ir/interpret.h"
#include "ir/registry.h"
#include "ir/room.h"
#include "ir/verify.h"
#include "tests/support/samples.h"

namespace espalier {
namespace {

/// Gradients of sum(weights * outputs) by `differentiate` against central differences.
void expect_gradients_match(Graph g, const std::vector<Tensor>& feed) {
  Builder b(g);
  ValueId loss = kNoValue;
  for (ValueId y : std::vector<ValueId>(g.outputs().begin(), g.outputs().end())) {
    if (!is_float(b.type(y).dtype)) continue;
    Tensor r(DType::f64, b.type(y).shape());
    for (int64_t k = 0; k < r.size(); ++k)
      r.mutable_data<double>()[k] = 0.3 + 0.7 * std::sin(double(7 * k + 1));
    std::vector<int64_t> axes;
    for (int64_t a = 0; a < r.rank(); ++a) axes.push_back(a);
    const ValueId product = b.mul(y, b.constant(r));
    const ValueId part = axes.empty() ? product : b.reduce_sum(product, axes, false);
    loss = loss == kNoValue ? part : b.add(loss, part);
  }
  ASSERT_NE(loss, kNoValue);
  Graph forward = g;
  forward.set_outputs({loss});
  std::vector<ValueId> wrt;
  std::vector<size_t> which;
  for (size_t i = 0; i < g.inputs().size(); ++i)
    if (is_float(g.value(g.inputs()[i]).tensor().dtype)) {
      wrt.push_back(g.inputs()[i]);
      which.push_back(i);
    }
  const auto gradients = differentiate(g, loss, wrt);
  Values outputs;
  for (ValueId v : wrt) outputs.push_back(gradients.at(v));
  g.set_outputs(outputs);
  g.erase_dead();
  ASSERT_EQ(violation(g), "");
  const auto analytic = interpret(g, feed);
  for (size_t n = 0; n < which.size(); ++n) {
    const size_t i = which[n];
    ASSERT_EQ(analytic[n].shape(), feed[i].shape());
    const int64_t step = std::max<int64_t>(1, feed[i].size() / 8);
    for (int64_t k = 0; k < feed[i].size(); k += step) {
      constexpr double h = 1e-5;
      auto moved = feed;
      moved[i] = feed[i].clone();
      moved[i].mutable_data<double>()[k] += h;
      const double up = interpret(forward, moved)[0].at(0);
      moved[i].mutable_data<double>()[k] -= 2 * h;
      const double numeric = (up - interpret(forward, moved)[0].at(0)) / (2 * h);
      EXPECT_NEAR(analytic[n].at(k), numeric, 1e-6 + 2e-6 * std::abs(numeric))
          << "input " << i << " element " << k;
    }
  }
}

TEST(Differentiate, AccumulatesOverBranches) {
  Graph g;
  const ValueId x = g.add_input("x", TensorType(DType::f64, Shape{3, 3}));
  const ValueId w = g.add_input("w", TensorType(DType::f64, Shape{3, 3}));
  Builder b(g);
  const ValueId h = b.one("Tanh", {b.matmul(x, w)});
  g.add_output(b.add(b.mul(h, x), b.matmul(h, b.one("Sigmoid", {h}))));
  Tensor tx(DType::f64, {3, 3}), tw(DType::f64, {3, 3});
  for (int64_t i = 0; i < 9; ++i) {
    tx.mutable_data<double>()[i] = std::sin(double(i));
    tw.mutable_data<double>()[i] = std::cos(double(3 * i));
  }
  expect_gradients_match(g, {tx, tw});
}

TEST(Differentiate, ListsEveryRefusingNodeBeforeChangingTheGraph) {
  Graph g;
  const ValueId x = g.add_input("x", TensorType(DType::f32, Shape{4}));
  Builder b(g);
  const ValueId scale = b.constant(Tensor::scalar<float>(0.5f));
  const ValueId q = b.op("QuantizeLinear", {x, scale}, {}, "first")[0];
  const ValueId d = b.op("DequantizeLinear", {q, scale}, {}, "second")[0];
  const ValueId loss = b.reduce_sum(d, {0}, false);
  const size_t nodes = g.node_count();
  const ValueId wrt[] = {x};
  // The integers in between carry no gradient, so nothing reaches the loss: zero, not an error.
  const auto gradients = differentiate(g, loss, wrt);
  EXPECT_EQ(g.value(gradients.at(x)).constant->at(0), 0);
  EXPECT_EQ(g.node_count(), nodes);
}

// At a bound nothing passes, and what was cut off is not asked for again.
TEST(Differentiate, RectifiersPassWhatLiesBetweenTheirBounds) {
  const std::vector<Tensor> feed = {Tensor::from({5}, {-1.0, -0.5, 0.25, 0.5, 2.0})};
  const auto check = [&](const char* op, bool bounded, const std::vector<double>& want) {
    SCOPED_TRACE(op);
    Graph g;
    Builder b(g);
    const ValueId x = g.add_input("x", TensorType(DType::f64, Shape{5}));
    Values operands = {x};
    for (const double bound : {-0.5, 0.5})
      if (bounded) operands.push_back(b.scalar(bound, x));
    const ValueId y = b.one(op, operands);
    const ValueId loss = b.reduce_sum(y, {0}, false);
    const ValueId dx = differentiate(g, loss, std::vector<ValueId>{x}).at(x);
    g.set_outputs({dx});
    g.erase_dead();
    ASSERT_EQ(g.users()[size_t(x)].size(), 1u);
    EXPECT_EQ(g.node(g.users()[size_t(x)][0]).room->full_name(), op);
    const Tensor got = interpret(g, feed)[0];
    for (size_t i = 0; i < want.size(); ++i) EXPECT_EQ(got.at(int64_t(i)), want[i]) << i;
  };
  check("Relu", false, {0, 0, 1, 1, 1});
  check("Clip", true, {0, 0, 1, 0, 0});
}

// Norms and deviations are infinitely steep at 0; no gradient flows through them there.
TEST(Differentiate, NormsOfZerosHaveFiniteGradients) {
  for (const char* op : {"GlobalLpPool", "LpNormalization", "MeanVarianceNormalization"}) {
    Graph g;
    const ValueId x = g.add_input("x", TensorType(DType::f32, Shape{1, 2, 2, 2}));
    Builder b(g);
    const ValueId loss = b.reduce_sum(b.one(op, {x}), {0, 1, 2, 3}, false);
    const ValueId wrt[] = {x};
    g.set_outputs({differentiate(g, loss, wrt).at(x)});
    const Tensor dx = interpret(g, std::vector<Tensor>{Tensor(DType::f32, {1, 2, 2, 2})})[0];
    for (int64_t i = 0; i < dx.size(); ++i) EXPECT_TRUE(std::isfinite(dx.at(i))) << op;
  }
}

bool derives(const testing::SampleCase& c) {
  const auto varies = [](const OperandSpec& s) {
    return !s.absent && !s.constant && is_float(s.dtype);
  };
  return c.room->gradient.derived() &&
         std::any_of(c.sample().inputs.begin(), c.sample().inputs.end(), varies);
}

class Derived : public ::testing::TestWithParam<testing::SampleCase> {};
INSTANTIATE_TEST_SUITE_P(All, Derived, ::testing::ValuesIn(testing::sample_cases_where(derives)),
                         [](const auto& info) { return info.param.name(); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Derived);

TEST_P(Derived, GradientThroughTheExpansionMatchesCentralDifferences) {
  const auto operands = testing::sample_operands(GetParam(), DType::f64);
  std::vector<Tensor> feed;
  Graph g = testing::sample_graph(GetParam(), operands, &feed);
  expect_gradients_match(std::move(g), feed);
}

}  // namespace
}  // namespace espalier

#include "cost/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "ir/builder.h"
#include "tests/cost/rows.h"
#include "tests/support/run_op.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using testing::user_error;

TEST(RegionFacts, OfAConvolution) {
  Graph g;
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, Shape{2, 3, 8, 8}));
  const ValueId w = b.constant(Tensor(DType::f32, {16, 3, 3, 3}));
  const ValueId bias = b.constant(Tensor(DType::f32, {16}));
  g.add_output(b.one("Conv", {x, w, bias}));
  const RegionFacts f = region_facts(g, g.order()[0]);
  EXPECT_EQ(f.kind, "Conv");
  EXPECT_EQ(f.operators, "Conv");
  EXPECT_EQ(f.x, (Shape{2, 3, 8, 8}));
  EXPECT_EQ(f.w, (Shape{16, 3, 3, 3}));
  EXPECT_EQ(f.y, (Shape{2, 16, 6, 6}));
  EXPECT_EQ(f.macs, 2.0 * 16 * 6 * 6 * 27);
  EXPECT_EQ(f.in_bytes, 4.0 * 2 * 3 * 8 * 8);
  EXPECT_EQ(f.out_bytes, 4.0 * 2 * 16 * 6 * 6);
  EXPECT_EQ(f.weight_bytes, 4.0 * (16 * 27 + 16));
  EXPECT_FALSE(computed_beforehand(g, g.order()[0]));
}

// A region is what its body is: y = relu(a b) with b known.
TEST(RegionFacts, OfARegion) {
  Graph body;
  Builder inner(body);
  const ValueId a = body.add_input("a", TensorType(DType::f32, Shape{4, 8}));
  const ValueId weight = inner.constant(Tensor(DType::f32, {8, 5}));
  body.add_output(inner.one("Relu", {inner.matmul(a, weight)}));
  Graph g;
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, Shape{4, 8}));
  g.add_output(
      b.one("espalier.Fused", {x}, {{"body", std::make_shared<const Graph>(std::move(body))}}));
  const RegionFacts f = region_facts(g, g.order()[0]);
  EXPECT_EQ(f.kind, "MatMul");
  EXPECT_EQ(f.operators, "MatMul Relu");
  EXPECT_EQ(f.w, (Shape{8, 5}));
  EXPECT_EQ(f.y, (Shape{4, 5}));
  EXPECT_EQ(f.macs, 4.0 * 8 * 5);
  EXPECT_EQ(f.weight_bytes, 4.0 * 8 * 5);
}

TEST(RegionFacts, SignaturesTellRegionsApart) {
  const RegionFacts a = testing::made_up_row(0).facts;
  RegionFacts b = a;
  EXPECT_EQ(signature_of(a), signature_of(b));
  EXPECT_EQ(part_of(a), part_of(b));
  b.macs += 1;  // another stride, another group
  EXPECT_NE(signature_of(a), signature_of(b));
}

TEST(Roofline, IsTheLongerOfWorkAndTraffic) {
  RegionFacts f;
  f.macs = 100e6;  // 1 ms at 100 GMAC/s
  f.flops = 200e6;
  f.in_bytes = 1e6;
  EXPECT_NEAR(roofline_ms(f, testing::made_up_peaks(), 2), 1.001, 1e-9);
  EXPECT_NEAR(roofline_ms(f, testing::made_up_peaks(), 1), 2.001, 1e-9);
  f.in_bytes = 100e6;  // 5 ms at 20 GB/s
  EXPECT_NEAR(roofline_ms(f, testing::made_up_peaks(), 2), 5.001, 1e-9);
}

TEST(CostModel, LearnsWhatRooflinesCannotSay) {
  const auto e = evaluate_cost_model(testing::made_up_tables(600));
  ASSERT_TRUE(e.has_value());
  EXPECT_EQ(e->training + e->held_out, 600u);
  EXPECT_GT(e->held_out, 80u);
  EXPECT_LT(e->learned.mape, 0.2);
  EXPECT_GT(e->learned.kendall, 0.9);
  EXPECT_LT(e->learned.mape, 0.5 * e->roofline.mape);
  EXPECT_LT(e->learned.mape, 0.5 * e->macs.mape);
  EXPECT_GT(e->learned.kendall, e->roofline.kendall);
  EXPECT_GT(e->learned.kendall, e->macs.kendall);
}

TEST(CostModel, NeedsRowsAndPeaks) {
  CostTables t = testing::made_up_tables(10);
  EXPECT_FALSE(evaluate_cost_model(t).has_value());
  EXPECT_THAT(user_error([&] { CostModel::fit(t, t.rows); }), HasSubstr("hold 10 timed regions"));
  t = testing::made_up_tables(100);
  t.peaks.reset();
  EXPECT_THAT(user_error([&] { CostModel::fit(t, t.rows); }), HasSubstr("no peaks"));
}

TEST(CostModel, KnowsWhatIsFree) {
  CostTables t = testing::made_up_tables(100);
  RegionRow view = testing::made_up_row(1);
  view.facts.kind = view.facts.operators = "Reshape";
  view.facts.flops = view.ms = 0;
  t.rows.push_back(view);
  const CostModel model = CostModel::fit(t, t.rows);
  EXPECT_EQ(model.rows(), 100u);
  EXPECT_EQ(model.predict_ms(view.facts), 0);
  EXPECT_GT(model.predict_ms(testing::made_up_row(1).facts), 0);
}

TEST(CostModel, StaysWithinReasonFarFromWhatItSaw) {
  const CostTables t = testing::made_up_tables(200);
  const CostModel model = CostModel::fit(t, t.rows);
  RegionFacts huge = testing::made_up_row(0).facts;
  huge.macs *= 1e9;
  huge.x = {1, 1 << 20, 1 << 20, 1 << 20};
  const double ms = model.predict_ms(huge);
  EXPECT_GT(ms, 0);
  EXPECT_LE(ms, 40 * roofline_ms(huge, *t.peaks, 2) * (1 + 1e-12));
  EXPECT_TRUE(std::isfinite(model.predict_ms(RegionFacts{})));
}

TEST(CostModel, RoundTripsAndRefusesOtherMachines) {
  const CostTables t = testing::made_up_tables(100);
  const CostModel model = CostModel::fit(t, t.rows);
  const CostModel again = CostModel::parse(model.text(), "m.json", t.machine);
  for (uint64_t i = 0; i < 20; ++i)
    EXPECT_EQ(model.predict_ms(testing::made_up_row(i).facts),
              again.predict_ms(testing::made_up_row(i).facts));
  MachineId other = t.machine;
  other.isa = "AVX1";
  const auto error = [&](const std::string& text, const MachineId& here) {
    return user_error([&] { CostModel::parse(text, "m.json", here); });
  };
  EXPECT_THAT(error(model.text(), other), HasSubstr("was measured elsewhere"));
  EXPECT_THAT(error(model.text().substr(0, 500), t.machine), HasSubstr("is damaged"));
  std::string text = model.text();
  text.replace(text.find("\"words\":[\""), 10, "\"words\":[\"more\",\"");
  EXPECT_THAT(error(text, t.machine), HasSubstr("is damaged"));
  EXPECT_THAT(error(tables_text(t), t.machine), HasSubstr("something else"));
}

TEST(CostModel, PredictsGraphs) {
  const CostTables t = testing::made_up_tables(100);
  const CostModel model = CostModel::fit(t, t.rows);
  Graph g;
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, Shape{1, 16, 12, 12}));
  const ValueId known = b.constant(Tensor(DType::f32, {16, 16, 3, 3}));
  const ValueId w = b.neg(known);  // computed before the network runs
  const ValueId y = b.exp(b.one("Conv", {x, w}));
  g.add_output(y);
  double sum = 0;
  for (NodeId id : g.order()) sum += model.predict_ms(g, id);
  EXPECT_DOUBLE_EQ(model.predict_ms(g), sum);
  EXPECT_EQ(model.predict_ms(g, g.value(w).producer), 0);
  EXPECT_GT(model.predict_ms(g, g.value(y).producer), 0);
}

TEST(Baselines, TakeTheLawThatFits) {
  std::vector<double> x, line, power;
  for (double v = 1; v < 40; ++v) {
    x.push_back(v);
    line.push_back(3 + 2 * v);
    power.push_back(0.5 * std::pow(v + 1, 1.5));
  }
  EXPECT_NEAR(ScaledBaseline(x, line).predict_ms(100), 203, 1e-6);
  EXPECT_NEAR(ScaledBaseline(x, power).predict_ms(99), 500, 1e-6);
}

}  // namespace
}  // namespace espalier

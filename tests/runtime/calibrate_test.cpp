// The machine's tables: what is sampled, how regions are matched with instructions, and that a run
// which was interrupted goes on.
#include "runtime/calibrate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "base/files.h"
#include "base/log.h"
#include "ir/builder.h"
#include "ir/derive.h"
#include "ir/room.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "runtime/machine.h"
#include "runtime/measure_regions.h"
#include "runtime/random_input.h"
#include "runtime/region_sampler.h"
#include "runtime/session.h"
#include "tests/support/run_op.h"
#include "tests/support/samples.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using testing::user_error;

TEST(SampledNetworks, AreValidBoundedAndTheSameAgain) {
  std::set<std::string> operators;
  for (uint64_t i = 0; i < 60; ++i) {
    SCOPED_TRACE(i);
    const Graph g = sampled_network(3, i);
    verify(g, "sampled");
    EXPECT_EQ(dynamics_of(g), "");
    EXPECT_LE(cost_of(g).macs, 4e9);
    for (NodeId id : g.order()) operators.insert(g.node(id).room->op.name);
  }
  for (const char* op : {"Conv", "MatMul", "Softmax", "Relu", "QuantizeLinear"})
    EXPECT_TRUE(operators.contains(op)) << op;
  const PrintOptions brief{.max_literal = 16, .elide_large = true};
  EXPECT_EQ(print(sampled_network(3, 7), brief), print(sampled_network(3, 7), brief));
  EXPECT_NE(print(sampled_network(3, 7), brief), print(sampled_network(4, 7), brief));
}

/// relu(x w) and a softmax of it.
Graph small_network() {
  Graph g;
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, Shape{4, 8}));
  Tensor w(DType::f32, {8, 16});
  for (int64_t i = 0; i < w.size(); ++i) w.mutable_data<float>()[i] = float(i % 5) - 2;
  const ValueId y = b.one("Relu", {b.matmul(x, b.constant(w))});
  g.add_output(b.one("Softmax", {y}, {{"axis", int64_t{-1}}}));
  return g;
}

TEST(Programs, SayWhichNodeAnInstructionServes) {
  const Graph g = small_network();
  const Graph p = prepared(g);
  ASSERT_EQ(p.order().size(), 2u);  // a region and a softmax
  const auto program = compile(g);
  std::set<NodeId> origins;
  for (const InstructionInfo& i : program->instructions()) origins.insert(i.origin);
  for (NodeId id : p.order()) EXPECT_TRUE(origins.contains(id)) << describe(p, id);
}

TEST(MeasuredRegions, AreTheNodesOfThePreparedGraph) {
  const RegionTimingOptions quick{.threads = 1, .seconds = 0, .least_runs = 2};
  const auto rows = measure_regions(small_network(), "small", quick);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].facts.kind, "MatMul");
  EXPECT_EQ(rows[0].facts.operators, "MatMul Relu");
  EXPECT_EQ(rows[0].facts.macs, 4.0 * 8 * 16);
  EXPECT_EQ(rows[1].facts.kind, "Softmax");
  for (const RegionRow& row : rows) {
    EXPECT_EQ(row.source, "small");
    EXPECT_GT(row.ms, 0);
    EXPECT_NE(row.kernel, "");
  }
  RegionTimingOptions apart = quick;
  apart.disabled_passes = fusing_passes();
  EXPECT_EQ(measure_regions(small_network(), "small", apart).size(), 3u);
}

/// A model of made-up tables on which whatever is fused takes so long.
std::shared_ptr<const CostModel> model_where_fusing_takes(double ms) {
  CostTables t;
  t.machine = machine_id(1);
  t.peaks = MachinePeaks{};
  const auto add = [&](const char* operators, double row_ms) {
    for (int64_t i = 0; i < 20; ++i) {
      RegionRow row;
      row.facts.kind = row.facts.operators = operators;
      row.facts.x = row.facts.y = {i + 1, 8};
      row.ms = row_ms;
      t.rows.push_back(row);
    }
  };
  add("MatMul", 1);
  add("Relu", 1);
  add("MatMul Relu", ms);
  for (RegionRow& row : t.rows)
    if (row.facts.operators == "MatMul Relu") row.facts.kind = "MatMul";
  return std::make_shared<const CostModel>(CostModel::fit(t, t.rows));
}

TEST(FuseByCost, TakesApartWhatIsPredictedToGain) {
  const auto nodes = [](double ms) {
    CompileOptions options;
    options.cost_model = model_where_fusing_takes(ms);
    return prepared(small_network(), options).order().size();
  };
  EXPECT_EQ(nodes(0.5), 2u);
  EXPECT_EQ(nodes(1.9), 2u);  // no clear gain
  EXPECT_EQ(nodes(50), 3u);
  CompileOptions apart, fused;
  apart.cost_model = model_where_fusing_takes(50);
  apart.threads = fused.threads = 1;
  const Tensor x = random_input(TensorType(DType::f32, Shape{4, 8}), Rng(1, 2));
  Session a(compile(small_network(), apart)), f(compile(small_network(), fused));
  EXPECT_LE(testing::mismatch(a.run({x})[0], f.run({x})[0], 1e-5, 1e-6), 1);
}

class Calibrated : public ::testing::Test {
 protected:
  void SetUp() override {
    sink = set_log_sink([this](std::string_view line) { log += line; });
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    file = std::filesystem::path(::testing::TempDir()) /
           (std::string("espalier_calibrate_") + info->name() + ".json");
    std::filesystem::remove(file);
    options.file = file;
    options.samples = 0;
    options.seconds = 0;
    options.seconds_per_network = 0.0001;
    for (int i = 0; i < 4; ++i)
      options.networks.push_back({"small " + std::to_string(i), [this] {
                                    ++made;
                                    return small_network();
                                  }});
    // Peaks take seconds to measure: these were measured "before".
    CostTables begun;
    begun.machine = machine_id(1);
    begun.peaks = MachinePeaks{};
    save_tables(begun, file);
  }
  void TearDown() override {
    std::filesystem::remove(file);
    set_log_sink(std::move(sink));
  }

  std::filesystem::path file;
  CalibrateOptions options;
  int made = 0;
  std::string log;
  LogSink sink;
};

TEST_F(Calibrated, GoesOnWhereItStopped) {
  options.stop = [this] { return made >= 2; };
  const Calibration first = calibrate(options);
  EXPECT_TRUE(first.stopped);
  EXPECT_EQ(first.done, 2);
  EXPECT_EQ(first.asked, 4);
  const CostTables kept = load_tables(file, machine_id(1));
  EXPECT_EQ(kept.rows.size(), 4u);
  EXPECT_EQ(kept.done, (std::set<std::string>{"small 0", "small 1"}));
  options.stop = [] { return false; };
  const Calibration second = calibrate(options);
  EXPECT_FALSE(second.stopped);
  EXPECT_EQ(second.done, 4);
  EXPECT_EQ(made, 4);  // nothing twice
  ASSERT_EQ(second.tables.rows.size(), 8u);
  for (size_t i = 0; i < kept.rows.size(); ++i) EXPECT_EQ(second.tables.rows[i], kept.rows[i]);
  calibrate(options);
  EXPECT_EQ(made, 4);
}

TEST_F(Calibrated, LeavesOutWhatCannotBeMeasured) {
  options.networks = {{"broken", []() -> Graph { throw bad_input("net", "is no network"); }},
                      {"small", small_network}};
  const Calibration c = calibrate(options);
  EXPECT_EQ(c.done, 2);
  EXPECT_EQ(c.tables.rows.size(), 2u);
  EXPECT_THAT(log, HasSubstr("'broken' is left out: "));
  EXPECT_THAT(log, HasSubstr("is no network"));
}

TEST_F(Calibrated, RefusesTablesThatAreNotItsOwn) {
  options.seed = 1;
  EXPECT_THAT(user_error([&] { calibrate(options); }), HasSubstr("was begun with seed 0, not 1"));
  options.seed = 0;
  CostTables foreign;
  foreign.machine = machine_id(1);
  foreign.machine.cpu = "Other CPU";
  save_tables(foreign, file);
  EXPECT_THAT(user_error([&] { calibrate(options); }), HasSubstr("was measured elsewhere"));
  write_file_atomic(file, "{");
  EXPECT_THAT(user_error([&] { calibrate(options); }), HasSubstr("is damaged"));
  EXPECT_EQ(made, 0);
}

}  // namespace
}  // namespace espalier

// Tables of configurations, and what predicts them.
#include "reproduce/predictors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "ir/verify.h"
#include "tests/cost/rows.h"
#include "tests/support/run_op.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using testing::user_error;

const char* const kPerfcast =
    "kubernetes.pod_id,RESULT.WorkloadPreset,RESULT.TestName,RESULT.Value,SVR.CPU.CPU(s),"
    "SVR.CPU.L2 Cache,SVR.Power.TDP,Measure.DIMM.Freq,Unrelated\n"
    "a,O2,bwaves,100,8,2048,350,4800,x\n"
    "a,O2,namd,50,8,2048,350,4800,y\n"
    "b,O2,bwaves,200,16,2048,,4800,z\n"
    "b,O2,namd,100,16,2048,250,4400,x\n";

TEST(Perfcast, ReadsWhatVaries) {
  const GroupedTable t = read_perfcast(read_csv(kPerfcast, "p.csv"), "p.csv");
  ASSERT_EQ(t.groups.size(), 4u);
  EXPECT_EQ(t.groups[0].name, "memory");
  EXPECT_EQ(t.groups[1].name, "workload");
  ASSERT_EQ(t.groups[1].columns.size(), 1u);  // the preset never varies
  EXPECT_EQ(t.groups[1].columns[0].categories, (std::vector<std::string>{"bwaves", "namd"}));
  ASSERT_EQ(t.groups[2].columns.size(), 1u);
  EXPECT_EQ(t.groups[2].columns[0].name, "SVR.CPU.CPU(s)");
  EXPECT_EQ(t.groups[3].columns[0].name, "SVR.Power.TDP");
  ASSERT_EQ(t.rows.columns(), 5u);
  const std::vector<double> third(t.rows.row(2).begin(), t.rows.row(2).end());
  EXPECT_THAT(third, ::testing::ElementsAre(4800, 1, 0, 16, (350 + 350 + 250) / 3.0));
  EXPECT_DOUBLE_EQ(t.target[2], std::log(200));
  EXPECT_EQ(t.machine, (std::vector<std::string>{"a", "a", "b", "b"}));
  EXPECT_EQ(t.item[0], t.item[2]);
  EXPECT_NE(t.item[0], t.item[1]);
}

TEST(Perfcast, RefusesOtherTables) {
  const auto error = [](const std::string& text) {
    return user_error([&] { read_perfcast(read_csv(text, "p.csv", CsvHeader::present), "p.csv"); });
  };
  EXPECT_THAT(error("a,b\n1,2\n"), HasSubstr("p.csv: has no column 'RESULT.Value'"));
  std::string text = kPerfcast;
  text.replace(text.find(",200,"), 5, ",-2,");
  EXPECT_THAT(error(text), HasSubstr("line 4: RESULT.Value '-2' is no positive number"));
  text = kPerfcast;
  EXPECT_THAT(error(text.substr(0, text.find('\n') + 1)), HasSubstr("no rows"));
}

TEST(Standardised, ByTrainingRowsAlone) {
  const GroupedTable t = read_perfcast(read_csv(kPerfcast, "p.csv"), "p.csv");
  const std::vector<size_t> training = {0, 2};
  const FeatureTable z = standardised(t, training);
  EXPECT_EQ(z.at(0, 1), 1);  // categories stay
  EXPECT_NEAR(z.at(0, 3), -1, 1e-12);
  EXPECT_NEAR(z.at(2, 3), 1, 1e-12);
  EXPECT_EQ(z.at(3, 0), 0);  // the frequency does not vary in training
}

/// Tables of `count` machines on which everything takes longer by a factor of its own.
std::vector<CostTables> machines(int count, uint64_t rows) {
  std::vector<CostTables> all;
  for (int m = 0; m < count; ++m) {
    CostTables t = testing::made_up_tables(rows);
    const double factor = 1 + 0.5 * m;
    t.machine.threads = m + 1;
    t.peaks->f32_gmacs /= factor;
    t.peaks->memory_gbs /= factor;
    for (RegionRow& row : t.rows) row.ms *= factor;
    all.push_back(std::move(t));
  }
  return all;
}

TEST(GroupedMachines, HaveARowForEachTime) {
  auto tables = machines(3, 10);
  tables[0].rows[4].ms = 0;  // nothing ran
  const GroupedTable t = grouped_machines(tables);
  EXPECT_EQ(t.target.size(), 29u);
  EXPECT_EQ(t.rows.rows(), 29u);
  EXPECT_DOUBLE_EQ(t.target[0], std::log(tables[0].rows[0].ms));
  EXPECT_EQ(t.item[0], t.item[9]);  // the same region on the second machine
  EXPECT_NE(t.machine[0], t.machine[9]);
  tables[1].peaks.reset();
  EXPECT_THAT(user_error([&] { grouped_machines(tables); }), HasSubstr("has no peaks"));
}

TEST(Folds, HoldOutWholeConfigurations) {
  const GroupedTable few = grouped_machines(machines(4, 6));
  const auto folds = configuration_folds(few, 0);
  ASSERT_EQ(folds.size(), 4u);
  for (const auto& fold : folds) {
    EXPECT_EQ(fold.size(), 6u);
    for (size_t i : fold) EXPECT_EQ(few.machine[i], few.machine[fold[0]]);
  }
  const GroupedTable many = grouped_machines(machines(30, 2));
  size_t rows = 0;
  const auto drawn = configuration_folds(many, 0);
  EXPECT_LE(drawn.size(), 5u);
  for (const auto& fold : drawn) rows += fold.size();
  EXPECT_EQ(rows, 60u);
  EXPECT_THAT(user_error([&] { compare_predictors(grouped_machines(machines(2, 6)), {}); }),
              HasSubstr("there are 2, three are needed"));
}

TEST(PerformanceNetworks, AreValid) {
  const GroupedTable t = grouped_machines(machines(3, 10));
  for (const auto kind : {PerformanceNet::kGroupAttention, PerformanceNet::kPerceptron}) {
    const Graph g = performance_network(kind, t.groups, 4, 1);
    verify(g, "performance network");
    EXPECT_EQ(to_string(g.value(g.outputs()[0]).type), "f32[4,1]");
    EXPECT_EQ(g.value(g.inputs()[0]).tensor().shape()[1], int64_t(t.rows.columns()));
  }
}

// y is a known function of two characteristics: better predicted than by the mean.
TEST(PerformanceNetworks, Learn) {
  GroupedTable t = read_perfcast(read_csv(kPerfcast, "p.csv"), "p.csv");
  const size_t columns = t.rows.columns();
  t.rows = FeatureTable(columns);
  t.target.clear();
  const Rng rng(1, 2);
  for (uint64_t i = 0; i < 300; ++i) {
    std::vector<double> row(columns);
    for (size_t j = 0; j < columns; ++j) row[j] = rng.uniform(i * columns + j, -1, 1);
    const bool first = row[1] > 0;
    row[1] = first ? 1 : 0;
    row[2] = first ? 0 : 1;
    t.rows.add(row);
    t.target.push_back(5 + row[0] + (first ? 1.5 : -1.5) * row[3]);
  }
  std::vector<size_t> training, wanted;
  for (size_t i = 0; i < 300; ++i) (i < 240 ? training : wanted).push_back(i);
  const PerformanceTraining options{.steps = 300, .batch = 32, .rate = 1e-2, .seed = 3};
  double spread = 0;
  for (size_t i : wanted) spread += (t.target[i] - 5) * (t.target[i] - 5);
  for (const auto kind : {PerformanceNet::kGroupAttention, PerformanceNet::kPerceptron}) {
    const auto y = train_and_predict(kind, t, training, wanted, options);
    ASSERT_EQ(y.size(), wanted.size());
    double squares = 0;
    for (size_t i = 0; i < y.size(); ++i)
      squares += (y[i] - t.target[wanted[i]]) * (y[i] - t.target[wanted[i]]);
    EXPECT_LT(squares, 0.5 * spread);
    EXPECT_EQ(y, train_and_predict(kind, t, training, wanted, options));
  }
}

TEST(Predictors, AreComparedOnTheSameFolds) {
  const auto errors = compare_predictors(grouped_machines(machines(4, 30)),
                                         {.steps = 40, .batch = 16, .rate = 1e-2, .seed = 0});
  for (const char* name :
       {"linear", "tree", "boosted_trees", "mean", "nearest", "perceptron", "ncpp"}) {
    ASSERT_TRUE(errors.contains(name)) << name;
    EXPECT_GT(errors.at(name), 0) << name;
    EXPECT_TRUE(std::isfinite(errors.at(name))) << name;
  }
  // The factors are 1, 1.5, 2 and 2.5: the mean of the others' logarithms is off by a known amount.
  double known = 0;
  const std::vector<double> factors = {1, 1.5, 2, 2.5};
  for (double held : factors) {
    double product = 1;
    for (double f : factors) product *= f == held ? 1 : f;
    known += std::abs(std::cbrt(product) - held) / held / 4;
  }
  EXPECT_NEAR(errors.at("mean"), known, 1e-9);
}

}  // namespace
}  // namespace espalier

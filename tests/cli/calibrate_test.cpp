// calibrate, what inspect predicts, and reproduce, as the program takes them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/threads.h"
#include "runtime/calibrate.h"
#include "runtime/machine.h"
#include "tests/cli/program.h"
#include "tests/cost/rows.h"

namespace espalier {
namespace {

using nlohmann::json;
using testing::expect_failure;
using ::testing::HasSubstr;
using testing::Ran;
using testing::run_program;
using testing::Scratch;

const char* const kNetwork = R"(graph "net"(%x: f32[N,8]) -> (%y) {
  %y: f32[N,8] = Relu(%x)
}
)";

/// The cache is a folder of the test's own.
class CalibrateVerb : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("ESPALIER_CACHE", scratch.path("cache").c_str(), 1);
    scratch.write("net.esp", kNetwork);
    net = scratch.path("net.esp");
    here = machine_id(1);
  }
  void TearDown() override { ::unsetenv("ESPALIER_CACHE"); }

  /// Made-up tables as if this machine had been calibrated.
  CostTables tables_of_this_machine() const {
    CostTables t = testing::made_up_tables(120);
    t.machine = here;
    t.machine.threads = 1;
    return t;
  }
  json inspected() const {
    const Ran r = run_program({"inspect", net, "--json", "--threads", "1"});
    EXPECT_EQ(r.code, 0) << r.err;
    warnings = r.err;
    return json::parse(r.out);
  }

  Scratch scratch;
  std::string net;
  MachineId here;
  mutable std::string warnings;
};

TEST_F(CalibrateVerb, MeasuresWhatIsMissingAndReports) {
  CostTables t = tables_of_this_machine();
  save_tables(t, tables_path(t.machine));
  const Ran r =
      run_program({"calibrate", net, "--no-zoo", "--samples", "0", "--threads", "1", "--json"});
  ASSERT_EQ(r.code, 0) << r.err;
  const json j = json::parse(r.out);
  EXPECT_EQ(j["threads"], 1);
  EXPECT_EQ(j["file"], tables_path(t.machine).string());
  EXPECT_EQ(j["networks"], 1);
  EXPECT_EQ(j["measured"], 1);
  EXPECT_EQ(j["complete"], true);
  EXPECT_EQ(j["regions"], 121);
  EXPECT_EQ(j["peaks"]["f32_gmacs"], 100);  // measured before, not again
  EXPECT_GT(j["held_out"]["held_out"], 0);
  EXPECT_TRUE(j["held_out"]["learned"]["kendall"].is_number());
  EXPECT_EQ(j["model"], model_path(tables_path(t.machine)).string());
  const json predicted = inspected()["predicted_ms"];
  ASSERT_TRUE(predicted.is_number());
  EXPECT_GT(predicted.get<double>(), 0);
  const Ran people = run_program({"inspect", net, "--threads", "1"});
  EXPECT_THAT(people.out, HasSubstr("predicted: "));
}

TEST_F(CalibrateVerb, SaysWhatAHandoverTakes) {
  const Ran r = run_program({"calibrate", "--handover", "--json"});
  ASSERT_EQ(r.code, 0) << r.err;
  const double ns = json::parse(r.out)["handover_ns"];
  if (available_cpus() > 1)
    EXPECT_GT(ns, 1);
  else
    EXPECT_EQ(ns, 0);
}

TEST_F(CalibrateVerb, MeasuresPeaksAloneAndKeepsNothing) {
  const Ran r = run_program({"calibrate", "--peaks", "--threads", "1", "--json"});
  ASSERT_EQ(r.code, 0) << r.err;
  const json j = json::parse(r.out);
  EXPECT_GT(j["peaks"]["f32_gmacs"], 0);
  EXPECT_TRUE(j["limits"]["int8_gmacs_thread"].is_number());
  EXPECT_FALSE(std::filesystem::exists(tables_path(machine_id(1))));
}

TEST_F(CalibrateVerb, RefusesForeignAndDamagedTables) {
  CostTables t = tables_of_this_machine();
  t.machine.cpu = "Other CPU";
  save_tables(t, scratch.path("t.json"));
  const std::vector<std::string> command = {
      "calibrate", "--no-zoo", "--samples", "0", "--threads", "1", "-o", scratch.path("t.json")};
  expect_failure(run_program(command), 3, "was measured elsewhere: on Other CPU",
                 "espalier calibrate");
  write_file_atomic(scratch.path("t.json"), "[]");
  expect_failure(run_program(command), 3, "is damaged", "--overwrite");
  expect_failure(run_program({"calibrate", scratch.path("no.onnx")}), 3, "no.onnx");
  expect_failure(run_program({"calibrate", "--minutes", "-1"}), 2, "minutes");
  expect_failure(run_program({"calibrate", "--samples", "many"}), 2, "samples");
}

TEST_F(CalibrateVerb, InspectPredictsOnlyWhereItCan) {
  EXPECT_TRUE(inspected()["predicted_ms"].is_null());
  EXPECT_EQ(warnings, "");
  expect_failure(run_program({"bench", net, "--by-cost", "--threads", "1"}), 3,
                 "there is no cost model of", "espalier calibrate");
  const CostTables t = tables_of_this_machine();
  save_tables(t, tables_path(t.machine));
  save_cost_model(CostModel::fit(t, t.rows), tables_path(t.machine));
  EXPECT_TRUE(inspected()["predicted_ms"].is_number());
  write_file_atomic(model_path(tables_path(t.machine)), "nothing");
  EXPECT_TRUE(inspected()["predicted_ms"].is_null());
  EXPECT_THAT(warnings, HasSubstr("times are not predicted"));
}

TEST_F(CalibrateVerb, RecipesOfReproductionsAreChecked) {
  const auto recipe = [&](const std::string& keys) {
    scratch.write(
        "r.yaml",
        "espalier: 1\nreproduces: {system: s, paper: p, claim: c, baseline: b, bar: r}\n" + keys);
    return run_program({"reproduce", scratch.path("r.yaml")});
  };
  expect_failure(recipe("measure: cost_model\nsamples: 5\n"), 3, "r.yaml:4");
  expect_failure(recipe("measure: cost_model\nsample: 500\n"), 3, "sample");
  expect_failure(recipe("measure: configurations\ninstruction_sets: [AVX3]\nthreads: [1]\n"), 3,
                 "'AVX3' is not known");
  expect_failure(recipe("measure: configurations\ninstruction_sets: [AVX2]\nthreads: [0]\n"), 3,
                 "'0' is no number of threads");
  expect_failure(recipe("measure: configurations\ninstruction_sets: [AVX2]\n"), 3, "threads");
}

}  // namespace
}  // namespace espalier

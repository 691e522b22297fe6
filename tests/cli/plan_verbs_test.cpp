// Plans, whose layers are fused into regions, as other verbs read them; 16-bit weights in ONNX.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "ir/text.h"
#include "onnx/import.h"
#include "tests/cli/points.h"
#include "tests/cli/program.h"
#include "tests/support/data.h"

namespace espalier {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::run_program;
using testing::Scratch;

class PlanVerbs : public ::testing::Test {
 protected:
  void SetUp() override {
    scratch.write("points.csv", testing::points_table());
    scratch.write("net.yaml", testing::points_network());
    data = "csv:" + scratch.path("points.csv") + "?val=0.2";
    done({"export", p("net.yaml"), "-o", p("net.onnx")});
    done({"export", p("net.onnx"), "-o", p("net.plan")});
  }
  std::string p(const std::string& name) const { return scratch.path(name); }
  static json done(std::vector<std::string> command) {
    command.emplace_back("--json");
    const auto r = run_program(command);
    EXPECT_EQ(r.code, 0) << r.err;
    return r.out.empty() ? json() : json::parse(r.out);
  }
  Scratch scratch;
  std::string data;
};

TEST_F(PlanVerbs, InspectSeesTheLayers) {
  const json plan = done({"inspect", p("net.plan")}), onnx = done({"inspect", p("net.onnx")});
  EXPECT_EQ(plan["params"], 2 * 24 + 24 + 24 * 3 + 3);
  EXPECT_EQ(plan["params"], onnx["params"]);
  EXPECT_EQ(plan["macs"], onnx["macs"]);
}

TEST_F(PlanVerbs, PruneQuantizeAndFitTakeThem) {
  done({"prune", p("net.plan"), "--keep", "50%", "--multiple", "1", "-o", p("half.onnx")});
  EXPECT_EQ(done({"inspect", p("half.onnx")})["params"], 2 * 12 + 12 + 12 * 3 + 3);
  const json q = done({"quantize", p("net.plan"), "--data", data, "-o", p("int8.onnx")});
  EXPECT_EQ(q["layers"], 2);
  const auto fitted = run_program(
      {"fit", p("net.plan"), "--data", data, "--budget", "size=1MB,drop=100", "--out", p("run")});
  EXPECT_EQ(fitted.code, 0) << fitted.err;
}

TEST_F(PlanVerbs, ExportGivesStandardOperatorsAndText) {
  done({"export", p("net.plan"), "-o", p("again.onnx")});
  done({"export", p("net.plan"), "-o", p("again.esp")});
  EXPECT_THAT(read_file(p("again.esp")), ::testing::Not(HasSubstr("espalier.Fused")));
  EXPECT_EQ(import_onnx(p("again.onnx")).constants().size(), 4u);  // two weights, two biases
}

TEST_F(PlanVerbs, BenchNamesThePrecisionOfPlans) {
  const auto precision = [&](const std::string& file) {
    return done({"bench", p(file), "--seconds", "0.01"})["precision"];
  };
  done({"quantize", p("net.onnx"), "--data", data, "-o", p("int8.plan")});
  done({"quantize", p("net.onnx"), "--precision", "bf16", "-o", p("bf16.plan")});
  done({"quantize", p("net.onnx"), "--precision", "bf16", "-o", p("bf16.onnx")});
  EXPECT_EQ(precision("net.plan"), "f32");
  EXPECT_EQ(precision("int8.plan"), "int8");
  EXPECT_EQ(precision("bf16.plan"), "bf16");
  EXPECT_EQ(precision("bf16.onnx"), "f32");  // what it computes in
}

TEST_F(PlanVerbs, Bf16InOnnxIsStoredAndWidened) {
  const json o = done({"quantize", p("net.onnx"), "--precision", "bf16", "-o", p("bf16.onnx")});
  EXPECT_EQ(o["weight_bytes"], 2 * (2 * 24 + 24 + 24 * 3 + 3));
  const Graph g = import_onnx(p("bf16.onnx"));
  int narrow = 0;
  for (ValueId v : g.constants()) narrow += g.value(v).constant->dtype() == DType::bf16;
  EXPECT_EQ(narrow, 4);
  for (NodeId id : g.order()) EXPECT_EQ(g.value(g.node(id).outputs[0]).tensor().dtype, DType::f32);
  // Such a network is trained as any other.
  const auto fitted =
      run_program({"fit", p("bf16.onnx"), "--data", data, "--budget", "macs=70%,drop=100",
                   "--train-epochs", "1", "--prune-epochs", "1", "--out", p("run")});
  EXPECT_TRUE(fitted.code == 0 || fitted.code == 5) << fitted.err;
}

TEST_F(PlanVerbs, Bf16ArithmeticInOnnxIsWarnedOf) {
  done({"quantize", p("net.onnx"), "--precision", "bf16", "-o", p("bf16.plan")});
  const auto r = run_program({"export", p("bf16.plan"), "-o", p("bf16.onnx")});
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_THAT(r.err, HasSubstr("computes in bf16"));
  const auto quiet = run_program({"export", p("net.plan"), "-o", p("f32.onnx")});
  EXPECT_EQ(quiet.err, "");
}

TEST_F(PlanVerbs, QuantisedNetworksAreNotLoweredAgain) {
  done({"quantize", p("net.onnx"), "--data", data, "-o", p("int8.plan")});
  const auto r =
      run_program({"quantize", p("int8.plan"), "--precision", "bf16", "-o", p("bf16.plan")});
  EXPECT_EQ(r.code, 4) << r.err;
  EXPECT_THAT(r.err, HasSubstr("is quantised to integers already"));
  const auto fitted = run_program(
      {"fit", p("int8.plan"), "--data", data, "--budget", "drop=100", "--out", p("run"), "--json"});
  ASSERT_EQ(fitted.code, 0) << fitted.err;
  const json summary = json::parse(fitted.out);
  EXPECT_EQ(summary["candidates"].size(), 1u);
  EXPECT_THAT(summary["notes"].dump(), HasSubstr("no other precision was tried"));
}

TEST_F(PlanVerbs, AFixedBatchIsOpenedForData) {
  done({"export", p("net.onnx"), "--batch", "1", "-o", p("one.plan")});
  EXPECT_EQ(done({"eval", p("one.plan"), "--batch", "50", "--data", data})["samples"],
            done({"eval", p("net.onnx"), "--data", data})["samples"]);
  const auto fitted =
      run_program({"fit", p("one.plan"), "--data", data, "--budget", "macs=70%,drop=100",
                   "--train-epochs", "1", "--prune-epochs", "1", "--out", p("run")});
  EXPECT_TRUE(fitted.code == 0 || fitted.code == 5) << fitted.err;
}

TEST_F(PlanVerbs, ForeignMnistNetworkIsTunedAndCut) {
  ESP_SKIP_WITHOUT_DATA("models/mnist/mnist.onnx");
  ESP_SKIP_WITHOUT_DATA("mnist");
  const auto r =
      run_program({"fit", testing::data_path("models/mnist/mnist.onnx").string(), "--data",
                   "idx:" + testing::data_path("mnist").string() + "?normalize=raw&limit=2000",
                   "--train-epochs", "1", "--prune-epochs", "1", "--budget", "macs=60%,drop=5",
                   "--out", p("run"), "--json"});
  // Whether the cut is faster is up to the machine.
  ASSERT_TRUE(r.code == 0 || r.code == 5) << r.err;
  const json summary = json::parse(r.out);
  EXPECT_GE(summary["baseline"]["accuracy"].get<double>(), 95);
  EXPECT_GE(summary["result"]["accuracy"].get<double>(), 90);
}

}  // namespace
}  // namespace espalier

// Networks that depend on data, as the verbs take or refuse them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "formats/npy.h"
#include "tests/cli/program.h"

namespace espalier {
namespace {

using nlohmann::json;
using testing::expect_failure;
using ::testing::HasSubstr;
using testing::run_program;
using testing::Scratch;

/// The rows of x w whose sum is above zero, twice where they are many, and as a sequence.
constexpr const char* kNetwork = R"(
graph "select"(%x: f32[4,2]) -> (%y, %rows) {
  %w = parameter f32[2,2] [1, 0, 0, 1]
  %zero = constant f32[] [0]
  %axes = constant i64[1] [1]
  %first = constant i64[1] [0]
  %h = MatMul(%x, %w)
  %sum = ReduceSum(%h, %axes) {keepdims = 0}
  %above = Greater(%sum, %zero)
  %at = NonZero(%above)
  %places = Squeeze(%at, %first)
  %kept = Gather(%h, %places)
  %count = Size(%places)
  %two = constant i64[] [2]
  %many = Greater(%count, %two)
  %y = If(%many, %kept) {then_branch = graph "twice"(%k: f32[?,2]) -> (%d) {
    %d = Add(%k, %k)
  }, else_branch = graph "once"(%k: f32[?,2]) -> (%k) {
  }}
  %rows = SplitToSequence(%kept) {keepdims = 0}
})";

class DynamicVerbs : public ::testing::Test {
 protected:
  void SetUp() override {
    scratch.write("net.esp", kNetwork);
    save_npy(p("few.npy"), Tensor::from<float>({4, 2}, {1, 2, -3, 1, 5, 6, -7, -8}));
    save_npy(p("many.npy"), Tensor::from<float>({4, 2}, {1, 2, 3, 1, 5, 6, -7, -8}));
  }
  std::string p(const std::string& name) const { return scratch.path(name); }
  static json done(std::vector<std::string> command) {
    command.emplace_back("--json");
    const auto r = run_program(command);
    EXPECT_EQ(r.code, 0) << r.err;
    return r.out.empty() ? json() : json::parse(r.out);
  }
  Scratch scratch;
};

TEST_F(DynamicVerbs, RunInEveryFormat) {
  done({"export", p("net.esp"), "-o", p("net.onnx")});
  done({"export", p("net.onnx"), "-o", p("net.plan")});
  done({"export", p("net.plan"), "-o", p("again.esp")});
  for (const char* file : {"net.esp", "net.onnx", "net.plan", "again.esp"}) {
    for (const char* how : {"--threads=1", "--reference"}) {
      json few = done({"run", p(file), "--input", p("few.npy"), how})["outputs"];
      EXPECT_EQ(few[0]["values"], (json{1, 2, 5, 6})) << file << how;
      ASSERT_EQ(few[1]["items"].size(), 2u) << file << how;
      EXPECT_EQ(few[1]["items"][1]["values"], (json{5, 6})) << file << how;
      json many = done({"run", p(file), "--input", p("many.npy"), how})["outputs"];
      EXPECT_EQ(many[0]["values"], (json{2, 4, 6, 2, 10, 12})) << file << how;
    }
  }
}

TEST_F(DynamicVerbs, RunWritesItemsOfSequences) {
  const auto r = run_program({"run", p("net.esp"), "--input", p("few.npy"), "-o", p("out")});
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_THAT(r.out, HasSubstr("rows: seq(f32[2]) of 2 items"));
  EXPECT_EQ(load_npy(p("out/rows.1.npy")).at(1), 6);
}

TEST_F(DynamicVerbs, InspectCountsWhatItKnows) {
  const json facts = done({"inspect", p("net.esp")});
  EXPECT_EQ(facts["macs"], 4 * 2 * 2);
  EXPECT_EQ(facts["params"], 4);
  EXPECT_EQ(facts["depends_on_data"], true);
  EXPECT_TRUE(facts["peak_activation_bytes"].is_null());
  const auto people = run_program({"inspect", p("net.esp")});
  EXPECT_THAT(people.out, HasSubstr("the result of NonZero 'at' has the type i64[1,?], whose size "
                                    "depends on data"));
  EXPECT_EQ(run_program({"inspect", p("net.esp"), "--dot"}).code, 0);
}

TEST_F(DynamicVerbs, BenchTimesTheWhole) {
  const json timing = done({"bench", p("net.esp"), "--seconds", "0.05"});
  EXPECT_GT(timing["median_ms"].get<double>(), 0);
  EXPECT_GE(timing["programs"].get<int>(), 1);
  expect_failure(run_program({"bench", p("net.esp"), "--profile"}), 4, "depends on data");
}

TEST_F(DynamicVerbs, WhatNeedsAStraightLineRefuses) {
  expect_failure(run_program({"prune", p("net.esp"), "--keep", "50%", "-o", p("half.onnx")}), 4,
                 "depends on data: the result of NonZero 'at'", "run, check, eval, bench");
  expect_failure(run_program({"inspect", p("net.esp"), "--classes"}), 4, "depends on data");
}

TEST_F(DynamicVerbs, CheckReadsSequences) {
  const std::string folder = "/usr/share/libonnx-testdata/data/node/test_sequence_insert_at_front";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "install libonnx-testdata";
  const json verdict = done({"check", folder + "/model.onnx", "--data", folder});
  EXPECT_EQ(verdict["passed"], 1);
}

}  // namespace
}  // namespace espalier

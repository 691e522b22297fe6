// espalier coordcheck, and training under a parametrisation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/points.h"
#include "tests/cli/program.h"

namespace espalier {
namespace {

using nlohmann::json;
using testing::expect_failure;
using ::testing::HasSubstr;
using testing::Ran;
using testing::run_program;
using testing::Scratch;

class Coordcheck : public ::testing::Test {
 protected:
  Coordcheck() {
    scratch.write("points.csv", testing::points_table());
    scratch.write("net.yaml",
                  "espalier: 1\nname: net\nvariables: {width: 8}\n"
                  "input: {name: x, shape: [N, 2]}\nbody:\n"
                  "  - linear: {name: first, out: $width}\n  - tanh\n"
                  "  - linear: {name: middle, out: $width}\n  - tanh\n"
                  "  - linear: {name: last, out: 3}\n");
    scratch.write("wide.yaml", recipe("  parametrization: {kind: mup, base: {width: 8}}\n"));
    scratch.write("plain.yaml", recipe(""));
  }
  std::string recipe(const std::string& more) const {
    return "espalier: 1\ntask: train\nname: wide\nmodel: {definition: net.yaml, variables: "
           "{width: 32}}\ndata: csv:" +
           scratch.path("points.csv") +
           "\ntraining:\n  epochs: 1\n  batch: 16\n  schedule: {kind: constant, peak: 0.1}\n" +
           more;
  }
  Scratch scratch;
};

TEST_F(Coordcheck, TellsChangesAndBestRates) {
  const Ran ran = run_program({"coordcheck", scratch.path("wide.yaml"), "--multiples", "1,4",
                               "--kinds", "standard,mup", "--rates", "0.01,0.1,1", "--json", "-q"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  const json j = json::parse(ran.out);
  EXPECT_EQ(j["widths"], json({8, 32}));
  ASSERT_EQ(j["kinds"].size(), 2u);
  for (const json& kind : j["kinds"]) {
    EXPECT_EQ(kind["layers"].size(), 3u);
    EXPECT_EQ(kind["sweeps"].size(), 2u);
    EXPECT_EQ(kind["sweeps"][1]["val_loss"].size(), 3u);
  }
  const Ran people = run_program(
      {"coordcheck", scratch.path("wide.yaml"), "--multiples", "1,2", "--kinds", "mup", "-q"});
  EXPECT_THAT(people.out, HasSubstr("middle"));
  EXPECT_THAT(people.out, HasSubstr("slope"));
}

TEST_F(Coordcheck, RefusesWhatHasNoWidths) {
  expect_failure(run_program({"coordcheck", scratch.path("plain.yaml")}), 3,
                 "says nothing of a parametrisation", "kind: mup");
  expect_failure(run_program({"coordcheck", scratch.path("wide.yaml"), "--multiples", "4,1"}), 2,
                 "--multiples: must rise");
  expect_failure(run_program({"coordcheck", scratch.path("wide.yaml"), "--kinds", "mup2"}), 2,
                 "'mup2'");
}

TEST_F(Coordcheck, TrainingByAParametrisationGoesOnWhereItStopped) {
  const Ran ran =
      run_program({"train", scratch.path("wide.yaml"), "-o", scratch.path("run"), "--json", "-q"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(json::parse(ran.out)["parametrization"].get<std::string>(), HasSubstr("mup"));
  // Other factors of the rates are another run.
  expect_failure(run_program({"train", scratch.path("wide.yaml"), "-o", scratch.path("run"),
                              "--resume", "--set", "training.parametrization.kind=ntk"}),
                 3, "rate_factors");
}

}  // namespace
}  // namespace espalier

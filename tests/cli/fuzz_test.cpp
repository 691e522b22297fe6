// espalier fuzz as a user calls it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/cli/program.h"

namespace espalier {
namespace {

using nlohmann::json;
using testing::expect_failure;
using ::testing::HasSubstr;
using testing::Ran;
using testing::run_program;
using testing::Scratch;

constexpr const char* kCase = R"(graph "chain"(%x: f32[2,3]) -> (%y) {
  meta "fuzz.passes" = "fuse_pointwise"
  meta "fuzz.seed" = "3"
  %a: f32[2,3] = Neg(%x)
  %y: f32[2,3] = Tanh(%a)
}
)";

TEST(Fuzz, ReportsWhatItDid) {
  const Scratch scratch;
  const std::vector<std::string> command = {
      "fuzz",   "--graphs", "5",      "--nodes", "3",
      "--seed", "1",        "--json", "-o",      scratch.path("found")};
  const Ran ran = run_program(command);
  ASSERT_TRUE(ran.code == 0 || ran.code == 1) << ran.err;
  const json report = json::parse(ran.out);
  EXPECT_EQ(report["graphs"], 5);
  EXPECT_GT(report["nodes"], 0);
  EXPECT_GT(report["events"], 0);
  EXPECT_EQ(report["findings"].empty(), ran.code == 0);
  EXPECT_TRUE(std::filesystem::is_directory(scratch.path("found")));
  EXPECT_FALSE(std::filesystem::exists(scratch.path("found/current.esp")));
}

TEST(Fuzz, ChecksCasesAgain) {
  const Scratch scratch;
  scratch.write("case.esp", kCase);
  const Ran ran = run_program({"fuzz", scratch.path("case.esp")});
  EXPECT_EQ(ran.code, 0) << ran.out << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("as the reference"));
}

TEST(Fuzz, RefusesInOneSentence) {
  const Scratch scratch;
  scratch.write("case.esp", kCase);
  scratch.write("odd.esp", R"(graph "g"(%x: f32[2]) -> (%y) {
  meta "fuzz.colour" = "blue"
  %y: f32[2] = Neg(%x)
}
)");
  expect_failure(run_program({"fuzz", "--graphs", "0"}), 2,
                 "--graphs: '0' is not a whole number of at least 1");
  expect_failure(run_program({"fuzz", "--minutes", "0"}), 2, "--minutes");
  expect_failure(run_program({"fuzz", "--graphs", "1", "--minutes", "1"}), 2, "--minutes");
  expect_failure(run_program({"fuzz", "--passes", "fold_everything"}), 2,
                 "pass 'fold_everything': is not known", "fold_constants");
  expect_failure(run_program({"fuzz", scratch.path("none.esp")}), 3, "none.esp");
  expect_failure(run_program({"fuzz", scratch.path("odd.esp")}), 3, "fuzz.colour: is not known",
                 "fuzz.passes");
  std::filesystem::create_directory(scratch.path("full"));
  scratch.write("full/file", "x");
  expect_failure(run_program({"fuzz", "--graphs", "1", "-o", scratch.path("full")}), 2,
                 "holds files already", "--overwrite");
}

TEST(Fuzz, HelpTeaches) {
  const Ran help = run_program({"fuzz", "--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_THAT(help.out, HasSubstr("espalier fuzz --minutes 10"));
  EXPECT_THAT(help.out, HasSubstr("exit code is 1"));
}

}  // namespace
}  // namespace espalier

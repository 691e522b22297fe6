// `export -o net.c`, as users call it: the example of docs/c_export.md, what it says, what it
// refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "tests/cli/program.h"
#include "tests/support/tree.h"

namespace espalier {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::run_program;
using testing::Scratch;

const std::string kZoo = testing::source_dir() + "/recipes/zoo/";

/// The block fenced as c.
std::string example() {
  const std::string page = read_file(testing::source_dir() + "/docs/c_export.md");
  const size_t begin = page.find("```c\n") + 5;
  return page.substr(begin, page.find("```", begin) - begin);
}

TEST(CExport, TheExampleOfThePageRuns) {
  const Scratch scratch;
  const auto exported =
      run_program({"export", kZoo + "ds_cnn.yaml", "-o", scratch.path("ds_cnn.c")});
  ASSERT_EQ(exported.code, 0) << exported.err;
  EXPECT_THAT(exported.out, HasSubstr("int ds_cnn_run(...)"));
  EXPECT_THAT(exported.out, HasSubstr("mfcc"));
  scratch.write("main.c", example());
  const std::string folder = "cd '" + scratch.path("") + "' && ";
  EXPECT_EQ(
      std::system((folder + "cc -std=c99 -Wall -Wextra -Werror -O2 main.c ds_cnn.c -lm -o run "
                            "&& ./run > answer")
                      .c_str()),
      0);
  const std::string answer = read_file(scratch.path("answer"));
  EXPECT_EQ(std::ranges::count(answer, '\n'), 13) << answer;
  EXPECT_THAT(answer, HasSubstr("bytes of activations"));
}

TEST(CExport, SaysWhatItWroteAsJson) {
  const Scratch scratch;
  const auto ran = run_program(
      {"export", kZoo + "lenet5.yaml", "-o", scratch.path("le-net.c"), "--batch", "2", "--json"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  const json said = json::parse(ran.out);
  EXPECT_EQ(said["function"], "le_net_run");
  EXPECT_EQ(said["outputs"][0]["elements"], 20);
  EXPECT_EQ(said["weight_bytes"], 4 * 61706);
  EXPECT_GT(said["arena_bytes"], 0);
  EXPECT_TRUE(std::filesystem::exists(scratch.path("le-net.h")));
  EXPECT_THAT(read_file(scratch.path("le-net.c")), HasSubstr("#include \"le-net.h\""));
}

TEST(CExport, RefusesWhatHasNoCForm) {
  const Scratch scratch;
  scratch.write("net.esp", "graph \"open\"(%x: f32[4]) -> (%y) {\n  %y = NonZero(%x)\n}\n");
  testing::expect_failure(
      run_program({"export", scratch.path("net.esp"), "-o", scratch.path("net.c")}), 4, "NonZero",
      "");
  EXPECT_FALSE(std::filesystem::exists(scratch.path("net.c")));
  scratch.write("there.h", "mine");
  testing::expect_failure(run_program({"export", kZoo + "mlp.yaml", "-o", scratch.path("there.c")}),
                          2, "exists already", "--overwrite");
}

}  // namespace
}  // namespace espalier

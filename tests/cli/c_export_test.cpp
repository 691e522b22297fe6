// `export -o net.c`, as users call it: the example of docs/c_export.md, what it says, what it
// refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

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

/// The block fenced as c that begins with the name of its file.
std::string example(const std::string& file) {
  const std::string page = read_file(testing::source_dir() + "/docs/c_export.md");
  const size_t begin = page.find("```c\n/* " + file) + 5;
  return page.substr(begin, page.find("```", begin) - begin);
}

TEST(CExport, TheExampleOfThePageRuns) {
  const Scratch scratch;
  const auto exported =
      run_program({"export", kZoo + "ds_cnn.yaml", "-o", scratch.path("ds_cnn.c")});
  ASSERT_EQ(exported.code, 0) << exported.err;
  EXPECT_THAT(exported.out, HasSubstr("int ds_cnn_run(...)"));
  EXPECT_THAT(exported.out, HasSubstr("mfcc"));
  scratch.write("main.c", example("main.c"));
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

TEST(CExport, TheTrainingExampleOfThePageLearns) {
  const Scratch scratch;
  const std::vector<std::string> command = {
      "export",     kZoo + "lenet5.yaml",
      "-o",         scratch.path("lenet5.c"),
      "--train",    testing::source_dir() + "/recipes/train/mnist-lenet5.yaml",
      "--set",      "training.batch=4",
      "--set",      "training.only.last_layers=2",
      "--overwrite"};
  const auto exported = run_program(command);
  ASSERT_EQ(exported.code, 0) << exported.err;
  EXPECT_THAT(exported.out, HasSubstr("int lenet5_step(...)"));
  EXPECT_THAT(exported.out, HasSubstr("int lenet5_run(...)"));
  EXPECT_THAT(exported.out, HasSubstr("trains 11014 parameters"));
  std::vector<std::string> as_json = command;
  as_json.push_back("--json");
  const json said = json::parse(run_program(as_json).out);
  EXPECT_EQ(said["training"]["function"], "lenet5_step");
  EXPECT_EQ(said["training"]["params"], 84 * 120 + 84 + 84 * 10 + 10);
  EXPECT_EQ(said["training"]["optimizer_bytes"], 4 * 11014);
  EXPECT_EQ(said["state_bytes"], 2 * 4 * 11014);
  scratch.write("learn.c", example("learn.c"));
  EXPECT_EQ(std::system(("cd '" + scratch.path("") +
                         "' && cc -std=c99 -Wall -Wextra -Werror -O2 learn.c lenet5.c -lm -o run "
                         "&& ./run > answer")
                            .c_str()),
            0);
  std::istringstream lines(read_file(scratch.path("answer")));
  double first = 0, last = 0, loss = 0;
  for (int i = 0; i < 20 && lines >> loss; ++i) (i == 0 ? first : last) = loss;
  EXPECT_GT(last, 0);
  EXPECT_LT(last, first / 2);
  int arena = 0;
  lines >> arena;
  EXPECT_EQ(arena, said["arena_bytes"]);
}

TEST(CExport, TrainingItDoesNotKnowIsAnError) {
  const Scratch scratch;
  const std::string recipe = testing::source_dir() + "/recipes/train/mnist-lenet5.yaml";
  const auto told = [&](const std::vector<std::string>& more, const std::string& output) {
    std::vector<std::string> command = {"export", kZoo + "lenet5.yaml", "-o", scratch.path(output)};
    command.insert(command.end(), more.begin(), more.end());
    const auto ran = run_program(command);
    EXPECT_NE(ran.code, 0);
    EXPECT_FALSE(std::filesystem::exists(scratch.path(output)));
    return ran.err;
  };
  EXPECT_THAT(told({"--train", recipe}, "net.onnx"), HasSubstr("does not end in .c"));
  EXPECT_THAT(told({"--set", "training.batch=1"}, "net.c"), HasSubstr("--train"));
  EXPECT_THAT(told({"--train", recipe, "--set", "training.precision=bf16"}, "net.c"),
              HasSubstr("C has no type"));
  EXPECT_THAT(told({"--train", recipe, "--set", "training.only=fc9.*"}, "net.c"),
              HasSubstr("is the name of no parameter"));
  scratch.write("soap.yaml",
                "espalier: 1\ntask: train\nname: soap\nmodel: {zoo: lenet5}\n"
                "data: 'synthetic:glyphs'\ntraining: {optimizer: {kind: soap}}\n");
  EXPECT_THAT(told({"--train", scratch.path("soap.yaml")}, "net.c"),
              HasSubstr("is not written in C yet"));
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

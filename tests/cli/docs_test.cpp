// The examples of docs/recipes.md and docs/training.md: each YAML block names its file in its first
// line and is used as the page says, with less data and fewer epochs.
#include <gtest/gtest.h>

#include <map>

#include "base/files.h"
#include "tests/cli/program.h"
#include "tests/support/tree.h"

namespace espalier {
namespace {

using testing::Ran;
using testing::run_program;
using testing::Scratch;

/// Blocks fenced as yaml, by the name after "# " in their first line.
std::map<std::string, std::string> yaml_blocks(const std::string& page) {
  const std::string open = "```yaml\n# ";
  std::map<std::string, std::string> blocks;
  for (size_t at = 0; (at = page.find(open, at)) != std::string::npos;) {
    const size_t name = at + open.size(), begin = page.find('\n', name) + 1;
    const size_t end = page.find("```", begin);
    blocks[page.substr(name, begin - 1 - name)] = page.substr(begin, end - begin);
    at = end + 3;
  }
  return blocks;
}

TEST(Docs, RecipesAndDefinitionsOfThePageWork) {
  const Scratch scratch;
  const auto blocks = yaml_blocks(read_file(testing::source_dir() + "/docs/recipes.md"));
  for (const char* name : {"net.yaml", "train.yaml", "fit.yaml", "tune.yaml"})
    ASSERT_TRUE(blocks.contains(name)) << name;
  ASSERT_EQ(blocks.size(), 4u);
  for (const auto& [name, text] : blocks) scratch.write(name, text);
  const auto run = [&](std::vector<std::string> command, const std::string& recipe,
                       const std::string& out, const std::vector<std::string>& more) {
    command.insert(command.end(),
                   {scratch.path(recipe), "-o", scratch.path(out), "-q", "--threads", "1"});
    command.insert(command.end(), more.begin(), more.end());
    if (recipe != "net.yaml")
      command.insert(command.end(), {"--set", "data.samples=200", "--set", "data.cache=off"});
    return run_program(command);
  };
  const Ran inspected =
      run_program({"inspect", scratch.path("net.yaml"), "--shape", "image=1,3,32,32"});
  EXPECT_EQ(inspected.code, 0) << inspected.err;
  const Ran trained = run({"train"}, "train.yaml", "trained", {"--epochs", "1"});
  EXPECT_EQ(trained.code, 0) << trained.err;
  const Ran exported = run({"export"}, "net.yaml", "net.onnx", {});
  EXPECT_EQ(exported.code, 0) << exported.err;
  const Ran tuned = run({"train"}, "tune.yaml", "tuned", {"--epochs", "1"});
  EXPECT_EQ(tuned.code, 0) << tuned.err;
  const Ran fitted = run({"fit"}, "fit.yaml", "fitted",
                         {"--train-epochs", "1", "--prune-epochs", "1", "--set", "calibration=32",
                          "--set", "measure.rounds=3"});
  EXPECT_TRUE(fitted.code == 0 || fitted.code == 5) << fitted.err;
}

TEST(Docs, TrainingOfThePageWorks) {
  const Scratch scratch;
  const auto blocks = yaml_blocks(read_file(testing::source_dir() + "/docs/training.md"));
  for (const char* name :
       {"gpt.yaml", "lion.yaml", "frugal.yaml", "rule.yaml", "part.yaml", "part8.yaml",
        "modes.yaml", "unified.yaml", "lora.yaml", "wide.yaml", "turned.yaml", "volumes.yaml",
        "coat.yaml", "tempered.yaml", "cycle.yaml", "forward.yaml", "modules.yaml"})
    ASSERT_TRUE(blocks.contains(name)) << name;
  ASSERT_EQ(blocks.size(), 17u);
  for (const auto& [name, text] : blocks) scratch.write(name, text);
  const std::string tokenizer = scratch.path("sentences.bpe");
  const Ran learned = run_program(
      {"data", "tokenizer", "synthetic:text?samples=1000", "-o", tokenizer, "--vocabulary", "320"});
  ASSERT_EQ(learned.code, 0) << learned.err;
  const auto train = [&](const std::string& recipe, const std::string& out,
                         const std::vector<std::string>& more) {
    std::vector<std::string> command = {"train",
                                        scratch.path(recipe),
                                        "-o",
                                        scratch.path(out),
                                        "-q",
                                        "--threads",
                                        "1",
                                        "--epochs",
                                        "1",
                                        "--set",
                                        "training.epoch_steps=4",
                                        "--set",
                                        "data.samples=1000"};
    command.insert(command.end(), more.begin(), more.end());
    const Ran ran = run_program(command);
    EXPECT_EQ(ran.code, 0) << ran.err;
  };
  train("gpt.yaml", "gpt", {});
  train("gpt.yaml", "bpe", {"--set", "data.tokenizer=" + tokenizer});
  train("lion.yaml", "lion", {});
  train("frugal.yaml", "frugal", {});
  train("rule.yaml", "rule", {});
  train("forward.yaml", "forward", {});
  train("part.yaml", "part", {});
  train("part8.yaml", "part8", {});
  train("lora.yaml", "lora", {});
  train("wide.yaml", "wide", {});
  train("turned.yaml", "turned", {});
  train("modes.yaml", "modes", {});
  train("unified.yaml", "unified", {});
  train("volumes.yaml", "volumes", {"--set", "data.samples=40"});
  train("coat.yaml", "coat", {});
  train("tempered.yaml", "tempered", {});
  train("cycle.yaml", "cycle", {});
  train("modules.yaml", "modules", {});
  const Ran eval = run_program({"eval", scratch.path("gpt/model.onnx"), "--data",
                                "synthetic:text?context=32&samples=1000", "--json"});
  EXPECT_EQ(eval.code, 0) << eval.err;
  const Ran answers = run_program({"eval", scratch.path("forward/model.onnx"), "--data",
                                   "synthetic:glyphs?resize=14&samples=1000", "--json"});
  EXPECT_EQ(answers.code, 0) << answers.err;
}

}  // namespace
}  // namespace espalier

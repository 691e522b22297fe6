// What the program says of mistakes: values of options, names, recipes, data, damaged files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/output.h"
#include "formats/npy.h"
#include "tests/cli/points.h"
#include "tests/cli/program.h"

namespace espalier {
namespace {

using nlohmann::json;
using testing::expect_failure;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Ran;
using testing::run_program;
using testing::Scratch;

constexpr const char* kNetwork = R"(graph "small"(%x: f32[N,2]) -> (%y) {
  %y: f32[N,2] = LeakyRelu(%x) {alpha = 0.5}
}
)";

class Messages : public ::testing::Test {
 protected:
  void SetUp() override {
    scratch.write("net.esp", kNetwork);
    net = scratch.path("net.esp");
    scratch.write("points.csv", testing::points_table());
    scratch.write("def.yaml", testing::points_network());
  }
  /// A recipe that works as far as it is read, but for what `changes` says.
  std::string recipe(const std::string& task, const std::string& name = "points",
                     const std::string& more = "") const {
    return "espalier: 1\ntask: " + task + "\nname: " + name +
           "\nmodel: {definition: def.yaml}\ndata: csv:" + scratch.path("points.csv") + "\n" + more;
  }
  Ran train(const std::string& text, const std::vector<std::string>& options = {}) const {
    return with_recipe("train", text, options);
  }
  Ran with_recipe(const std::string& verb, const std::string& text,
                  const std::vector<std::string>& options = {}) const {
    scratch.write("recipe.yaml", text);
    std::vector<std::string> command = {verb, scratch.path("recipe.yaml"), "-o",
                                        scratch.path("run")};
    command.insert(command.end(), options.begin(), options.end());
    Ran ran = run_program(command);
    EXPECT_FALSE(std::filesystem::exists(scratch.path("run/train")));
    EXPECT_FALSE(std::filesystem::exists(scratch.path("run/checkpoints")));
    return ran;
  }

  Scratch scratch;
  std::string net;
};

// ---- values of options --------------------------------------------------------------------------

TEST_F(Messages, NumbersAreRefusedInOneSentence) {
  const std::vector<std::tuple<std::vector<std::string>, std::string>> cases = {
      {{"train", "r.yaml", "--epochs", "0"}, "--epochs: '0' is not a whole number of at least 1"},
      {{"train", "r.yaml", "--batch", "1.5"}, "--batch: '1.5' is not a whole number of at least 1"},
      {{"fit", "r.yaml", "--train-epochs", "-1"},
       "--train-epochs: '-1' is not a whole number of at least 0"},
      {{"fit", "r.yaml", "--prune-epochs", "x"},
       "--prune-epochs: 'x' is not a whole number of at least 0"},
      {{"inspect", net, "--batch", "0"},
       "--batch: '0' is not a whole number between 1 and 1073741824"},
      {{"inspect", net, "--seed", "-1"}, "--seed: '-1' is not a whole number of at least 0"},
      {{"inspect", net, "--threads", "9999"},
       "--threads: '9999' is not a whole number between 1 and 4096"},
      {{"bench", net, "--seconds", "nan"},
       "--seconds: 'nan' is not a number between 0.01 and 3600"},
      {{"check", net, "--data", ".", "--tolerance", "nan"},
       "--tolerance: 'nan' is not a number of at least 0"},
      {{"quantize", net, "-o", "q.esp", "--percentile", "inf"},
       "--percentile: 'inf' is not a number between 0 and 100"},
      {{"quantize", net, "-o", "q.esp", "--samples", "0"}, "--samples: '0' is not a whole number"},
      {{"prune", net, "-o", "q.esp", "--multiple", "0"}, "--multiple: '0' is not a whole number"},
  };
  for (const auto& [command, message] : cases) expect_failure(run_program(command), 2, message);
}

TEST_F(Messages, EmptyNamesAreRefusedInOneSentence) {
  expect_failure(run_program({"inspect", ""}), 2, "model: the file name is empty");
  expect_failure(run_program({"export", net, "-o", ""}), 2, "--output: the file name is empty");
  expect_failure(run_program({"check", net, "--data", ""}), 2,
                 "--data: the folder's name is empty");
  expect_failure(run_program({"train", ""}), 2, "recipe: the file name is empty");
  expect_failure(run_program({"fit", ""}), 2, "what: the file name is empty");
  expect_failure(run_program({"eval", net, "--data", ""}), 2, "data spec '': has no kind");
}

TEST_F(Messages, HelpOfInnerVerbsIsTheirOwn) {
  for (const char* verb : {"list", "make", "get"}) {
    const Ran help = run_program({"data", verb, "--help"});
    EXPECT_EQ(help.code, 0);
    EXPECT_THAT(help.out, HasSubstr(std::string("espalier data ") + verb));
    EXPECT_THAT(help.out, HasSubstr("Examples:"));
    EXPECT_THAT(help.out, HasSubstr("--json"));
    EXPECT_THAT(help.out, Not(HasSubstr("Begin with")));
  }
  EXPECT_THAT(run_program({"--help"}).out, Not(HasSubstr("ubcommand")));
  EXPECT_THAT(run_program({"prune", "--help"}).out, HasSubstr("layers narrower than it"));
}

// ---- networks and their values ------------------------------------------------------------------

TEST_F(Messages, EvalListsOutputs) {
  const std::string data = "csv:" + scratch.path("points.csv");
  expect_failure(run_program({"eval", net, "--data", data, "--output", "nope"}), 2,
                 "--output nope: the network has no value of that name", "its outputs are y");
  scratch.write("two.esp", R"(graph "two"(%x: f32[N,2]) -> (%y, %z) {
  %y: f32[N,2] = LeakyRelu(%x) {alpha = 0.5}
  %z: f32[N,2] = LeakyRelu(%x) {alpha = 0.1}
}
)");
  expect_failure(run_program({"eval", scratch.path("two.esp"), "--data", data}), 2,
                 "has several outputs", "--output names the one that answers: y, z");
}

TEST_F(Messages, ResultsThatAreNoNumbersAreCounted) {
  save_npy(scratch.path("x.npy"), Tensor::from<float>({1, 2}, {NAN, 3}));
  const std::vector<std::string> command = {"run", net, "-i", scratch.path("x.npy")};
  EXPECT_THAT(run_program(command).out, HasSubstr("least 3, mean 3, most 3; 1 of 2 are NaN"));
  auto object = command;
  object.emplace_back("--json");
  EXPECT_EQ(json::parse(run_program(object).out)["outputs"][0]["nan"], 1);
  save_npy(scratch.path("x.npy"), Tensor::from<float>({1, 2}, {NAN, NAN}));
  EXPECT_THAT(run_program(command).out, HasSubstr("all NaN"));
}

TEST_F(Messages, ValuesDefinedTooLateAreNamedWithTheirLine) {
  scratch.write("cycle.esp", R"(graph "c"(%x: f32[2]) -> (%y) {
  %h: f32[2] = Add(%x, %y)
  %y: f32[2] = LeakyRelu(%h) {alpha = 0.5}
}
)");
  expect_failure(run_program({"inspect", scratch.path("cycle.esp")}), 3,
                 "cycle.esp:2:26: %y is defined only on line 3", "has a cycle");
  scratch.write("none.esp", R"(graph "c"(%x: f32[2]) -> (%y) {
  %y: f32[2] = Add(%x, %q)
}
)");
  expect_failure(run_program({"inspect", scratch.path("none.esp")}), 3,
                 "%q is not defined before this line");
}

TEST_F(Messages, BytesOfDamagedFilesAreEscaped) {
  scratch.write("bad.esp", "graph \"a\"(%x: \x1b[31m\xff\x07) -> () {}\n");
  const Ran ran = run_program({"inspect", scratch.path("bad.esp")});
  EXPECT_EQ(ran.code, 3);
  EXPECT_THAT(ran.err, HasSubstr("\\x1b[31m\\xff\\x07"));
  EXPECT_THAT(ran.err, Not(HasSubstr("\x1b")));
}

TEST(Printable, KeepsCharactersAndEscapesTheRest) {
  EXPECT_EQ(cli::printable("a\nb"), "a b");
  EXPECT_EQ(cli::printable("größe … 日本 \xF0\x9F\x8C\xB3"), "größe … 日本 \xF0\x9F\x8C\xB3");
  EXPECT_EQ(cli::printable("\t\x7f\x01"), "\\x09\\x7f\\x01");
  EXPECT_EQ(cli::printable("\xc2\x9b!"), "\\xc2\\x9b!");         // a control character
  EXPECT_EQ(cli::printable("\xc0\x80"), "\\xc0\\x80");           // an overlong zero
  EXPECT_EQ(cli::printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // half of a pair
  EXPECT_EQ(cli::printable("\xf8\x88\x80\x80\x80"), "\\xf8\\x88\\x80\\x80\\x80");
  EXPECT_EQ(cli::printable("x\xe2\x80"), "x\\xe2\\x80");  // cut short
}

// ---- recipes ------------------------------------------------------------------------------------

TEST_F(Messages, NamesOfRunsAreNamesOfFolders) {
  for (const char* name : {"../../evil", ".hidden", "a/b", "\"\"", "a b"})
    expect_failure(train(recipe("train", name)), 3, "recipe.yaml:3:", "letters, digits");
}

TEST_F(Messages, WhatIsNoRecipeIsNamed) {
  expect_failure(train(recipe("dance")), 3, "recipe.yaml:2: there is no task 'dance'",
                 "train, fit");
  expect_failure(run_program({"train", "model.onnx"}), 2, "model.onnx: is a network, not a recipe",
                 "espalier fit model.onnx");
  expect_failure(run_program({"train", "notes.txt"}), 2, "notes.txt: is no recipe");
  expect_failure(run_program({"train", scratch.path("def.yaml")}), 3,
                 "def.yaml: is a network definition, not a recipe",
                 "model: {definition: def.yaml}");
  scratch.write("recipe.yaml", recipe("train"));
  expect_failure(run_program({"inspect", scratch.path("recipe.yaml")}), 3,
                 "is a recipe, not a network definition");
}

TEST_F(Messages, MissingKeysNameWhatMayBeMeant) {
  std::string text = recipe("train");
  text.replace(text.find("model:"), 6, "modl: ");
  expect_failure(train(text), 3, "a recipe lacks 'model'", "is 'modl' at");
}

TEST_F(Messages, ArgumentsThatChangeARecipeAreBlamedThemselves) {
  const std::string text = recipe("train");
  expect_failure(train(text, {"--set", "training.epochs=many"}), 2,
                 "--set training.epochs=many: 'many' is no whole number");
  expect_failure(train(text, {"--set", "training.epoch=3"}), 2,
                 "--set training.epoch=3: training has no key 'epoch'", "did you mean 'epochs'?");
  expect_failure(train(text, {"--set", "optimiser.kind=sgd"}), 2,
                 "--set optimiser.kind=sgd: a recipe has no key 'optimiser'");
  expect_failure(train(text, {"--set", "training.schedule.peak=0"}), 2,
                 "--set training.schedule.peak=0");
  expect_failure(train(text, {"--set", "model.variables.width=3"}), 2,
                 "--set model.variables.width=3");
  expect_failure(train(text, {"--set", "data=csv:absent.csv"}), 2,
                 "--set data=csv:absent.csv: absent.csv: does not exist");
  expect_failure(train(text, {"--set", "name=../x"}), 2, "--set name=../x");
  expect_failure(train(text, {"--precision", "f64"}), 2, "--precision f64: precision cannot be");
  const std::string fit = recipe("fit", "points", "budget: {size: 1kB}\n");
  expect_failure(with_recipe("fit", fit, {"--set", "budget=size=0kB"}), 2,
                 "--set budget=size=0kB: budget term 'size=0kB'");
  expect_failure(with_recipe("fit", fit, {"--set", "measure.rounds=1"}), 2,
                 "--set measure.rounds=1: rounds is 1");
}

// ---- data ---------------------------------------------------------------------------------------

TEST_F(Messages, MissingDataSaysWhereItWasLookedFor) {
  expect_failure(run_program({"eval", net, "--data", "idx:nowhere"}), 3, "nowhere: does not exist",
                 "ESPALIER_DATA");
  std::string text = recipe("train");
  text.replace(text.find("data: csv:"), text.size(), "data: {kind: csv, path: nowhere.csv}\n");
  expect_failure(train(text), 3, "recipe.yaml:5: nowhere.csv: does not exist", "beside the recipe");
}

TEST_F(Messages, DataThatWasMadeIsReadBackWhole) {
  const std::string file = scratch.path("gl.npz");
  const Ran made = run_program(
      {"data", "make", "synthetic:glyphs?samples=100&split=test&cache=off", "-o", file, "--json"});
  ASSERT_EQ(made.code, 0) << made.err;
  const json first = json::parse(made.out);
  EXPECT_EQ(first["samples"], 20);
  const std::string spec = first["spec"];
  EXPECT_THAT(spec, HasSubstr("npz:" + file + "?split=all"));
  const json again = json::parse(run_program({"data", "make", spec, "--json"}).out);
  for (const char* key : {"samples", "classes", "shape"}) EXPECT_EQ(again[key], first[key]) << key;
  scratch.write("flat.yaml",
                "espalier: 1\nname: flat\ninput: {shape: [N, 3, 32, 32]}\n"
                "body:\n  - flatten\n  - linear: {out: 20}\n");
  const Ran eval = run_program({"eval", scratch.path("flat.yaml"), "--data", spec, "--json"});
  ASSERT_EQ(eval.code, 0) << eval.err;
  EXPECT_EQ(json::parse(eval.out)["samples"], 20);
  expect_failure(run_program({"data", "make", "synthetic:glyphs?samples=100&split=test&cache=off",
                              "-o", scratch.path("folder")}),
                 2, "a folder holds all splits", ".npz");
}

TEST_F(Messages, LabelsThatAreRenumberedAreNews) {
  scratch.write("signs.csv", "1,-1\n2,0\n3,1\n4,1\n");
  const std::string spec = "csv:" + scratch.path("signs.csv");
  const Ran ran = run_program({"data", "make", spec});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("renumbered in their order: -1 is class 0, 0 is class 1"));
  EXPECT_EQ(run_program({"data", "make", spec, "-q"}).err, "");
}

// ---- fit ----------------------------------------------------------------------------------------

TEST_F(Messages, FitRefusesWhatCannotBeMeant) {
  const std::string data = "csv:" + scratch.path("points.csv");
  const auto fit = [&](std::vector<std::string> more) {
    std::vector<std::string> command = {"fit", scratch.path("def.yaml"), "--data", data,
                                        "-o",  scratch.path("run")};
    command.insert(command.end(), more.begin(), more.end());
    Ran ran = run_program(command);
    EXPECT_FALSE(std::filesystem::exists(scratch.path("run")));
    return ran;
  };
  expect_failure(fit({"--budget", "size=1kB"}), 2, "its weights are random until it is trained",
                 "--train-epochs");
  expect_failure(fit({"--budget", "macs=50%", "--train-epochs", "1"}), 2,
                 "--budget macs=50%: asks for fewer multiply-accumulates", "--prune-epochs");
  expect_failure(fit({"--budget", "drop=1,drop=2", "--train-epochs", "1"}), 2,
                 "gives 'drop' a second time");
  expect_failure(with_recipe("fit", recipe("fit"), {"--data", data, "--budget", "size=1kB"}), 2,
                 "recipe.yaml is a recipe", "--set data=SPEC");
  expect_failure(fit({"--budget", "size=1kB", "--train-epochs", "1", "--set", "seed=3"}), 2,
                 "changes a recipe");
  expect_failure(with_recipe("fit", recipe("fit", "points", "budget: {macs: 50%}\n")), 3,
                 "recipe.yaml:6: asks for fewer multiply-accumulates", "prune: {epochs: N}");
  expect_failure(with_recipe("fit", recipe("fit", "points", "budget: {size: 1kB}\n")), 3,
                 "recipe.yaml:4: is a definition", "training: {epochs: N}");
}

}  // namespace
}  // namespace espalier

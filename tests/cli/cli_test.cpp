// The program end to end: what verbs print, which files they write, how they end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/threads.h"
#include "formats/npy.h"
#include "ir/text.h"
#include "onnx/export.h"
#include "onnx/tensor_proto.h"
#include "tests/cli/points.h"
#include "tests/cli/program.h"
#include "tests/support/data.h"

namespace espalier {
namespace {

using nlohmann::json;
using testing::expect_failure;
using ::testing::HasSubstr;
using testing::Ran;
using testing::run_program;
using testing::Scratch;
using ::testing::StartsWith;

constexpr const char* kNetwork = R"(graph "small"(%x: f32[N,2]) -> (%y) {
  %w = parameter f32[2,2] [1, 2, 3, 4]
  %h: f32[N,2] = MatMul(%x, %w)  @"fc"
  %y: f32[N,2] = LeakyRelu(%h) {alpha = 0.5}
}
)";

class Cli : public ::testing::Test {
 protected:
  void SetUp() override {
    scratch.write("net.esp", kNetwork);
    net = scratch.path("net.esp");
    save_npy(scratch.path("x.npy"), Tensor::from<float>({1, 2}, {1, -1}));
  }
  /// The one object a verb prints with --json.
  static json object_of(const Ran& r) {
    EXPECT_EQ(r.code, 0) << r.err;
    return json::parse(r.out);
  }
  std::string onnx_bytes() const { return export_onnx_bytes(parse_graph(kNetwork)); }

  Scratch scratch;
  std::string net;
};

TEST_F(Cli, HelpNamesEveryVerbAndTeachesByExample) {
  const Ran r = run_program({"--help"});
  EXPECT_EQ(r.code, 0);
  for (const char* verb : {"inspect", "run", "check", "bench", "eval", "calibrate", "fit", "adapt",
                           "peft", "coordcheck", "prune", "quantize", "export", "opt", "fuzz",
                           "serve", "data", "reproduce", "systems"}) {
    EXPECT_THAT(r.out, HasSubstr(verb));
    const Ran help = run_program({verb, "--help"});
    EXPECT_EQ(help.code, 0);
    EXPECT_THAT(help.out, HasSubstr("Examples:"));
    EXPECT_THAT(help.out, HasSubstr("--json"));
  }
  EXPECT_THAT(run_program({"--version"}).out, StartsWith("espalier "));
}

TEST_F(Cli, WrongUsageEndsWithTwo) {
  expect_failure(run_program({}), 2, "a verb is needed: inspect, run, check");
  expect_failure(run_program({"data"}), 2, "data needs a verb: list, make, tokenizer, get");
  expect_failure(run_program({"data", "bogus"}), 2, "data needs a verb, 'bogus' is none: list");
  expect_failure(run_program({"conquer"}), 2, "conquer");
  expect_failure(run_program({"inspect"}), 2, "model is required");
  expect_failure(run_program({"inspect", net, "--frobnicate"}), 2, "frobnicate");
  expect_failure(run_program({"inspect", net, "--threads", "0"}), 2, "threads");
  expect_failure(run_program({"inspect", scratch.path("x.npy")}), 2, "names no network format");
  expect_failure(run_program({"inspect", net, "--shape", "x=1,-2"}), 2, "'-2' is no extent");
  expect_failure(run_program({"inspect", net, "--shape", "z=1,2"}), 2, "no input named 'z'");
}

TEST_F(Cli, InspectCounts) {
  const json o = object_of(run_program({"inspect", net, "--batch", "4", "--json"}));
  EXPECT_EQ(o["params"], 4);
  EXPECT_EQ(o["macs"], 16);
  EXPECT_EQ(o["weight_bytes"], 16);
  // One kernel from the input to the output may need no memory between; two layers do.
  EXPECT_TRUE(o["peak_activation_bytes"].is_number_unsigned());
  scratch.write("two.esp", R"(graph "two"(%x: f32[4,2]) -> (%y) {
  %a = parameter f32[2,3] [1, 2, 3, 4, 5, 6]
  %b = parameter f32[3,2] [1, 2, 3, 4, 5, 6]
  %h: f32[4,3] = MatMul(%x, %a)
  %y: f32[4,2] = MatMul(%h, %b)
}
)");
  const json two = object_of(run_program({"inspect", scratch.path("two.esp"), "--json"}));
  EXPECT_GE(two["peak_activation_bytes"], 4 * 3 * 4);
  ASSERT_EQ(o["nodes"].size(), 2u);
  EXPECT_EQ(o["nodes"][0]["op"], "MatMul");
  EXPECT_EQ(o["inputs"][0]["type"], "f32[4,2]");
  const Ran people = run_program({"inspect", net});
  EXPECT_THAT(people.out, HasSubstr("4 parameters, 4 MACs"));
  const std::string dot = run_program({"inspect", net, "--dot"}).out;
  EXPECT_THAT(dot, StartsWith("digraph"));
  EXPECT_EQ(object_of(run_program({"inspect", net, "--dot", "--json"}))["dot"], dot);
  expect_failure(run_program({"inspect", net, "--dot", "--classes"}), 2,
                 "--dot excludes --classes");
}

TEST_F(Cli, RunPrintsAndWritesResults) {
  const json o = object_of(run_program({"run", net, "--input", scratch.path("x.npy"), "--json"}));
  EXPECT_EQ(o["outputs"][0]["values"], json({-1.0, -1.0}));
  const std::string out = scratch.path("results");
  const std::vector<std::string> command = {"run", net, "-i",         "x=" + scratch.path("x.npy"),
                                            "-o",  out, "--reference"};
  EXPECT_EQ(run_program(command).code, 0);
  EXPECT_EQ(load_npy(out + "/y.npy").at(1), -1);
  expect_failure(run_program(command), 2, "exists already");
  auto again = command;
  again.push_back("--overwrite");
  EXPECT_EQ(run_program(again).code, 0);
}

TEST_F(Cli, RunPrintsStringsWithoutWhatTerminalsObey) {
  scratch.write("text.esp",
                "graph \"text\"(%x: f32[N,2]) -> (%y) {\n"
                "  %y = constant string[2] [\"plain\", \"\x1b[31mred\"]\n}\n");
  const std::string text = scratch.path("text.esp");
  const Ran r = run_program({"run", text, "-i", scratch.path("x.npy")});
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_THAT(r.out, HasSubstr("plain \\x1b[31mred"));
  const json o = object_of(run_program({"run", text, "-i", scratch.path("x.npy"), "--json"}));
  EXPECT_EQ(o["outputs"][0]["values"][1], "\x1b[31mred");
}

TEST_F(Cli, RunNamesInputsThatDoNotFit) {
  expect_failure(run_program({"run", net}), 2, "input 'x' is not given");
  expect_failure(run_program({"run", net, "-i", "z=" + scratch.path("x.npy")}), 2,
                 "the network has no input 'z'", "the network takes x f32[N,2]");
  expect_failure(run_program({"run", net, "-i", ""}), 2, "--input '': names no file");
  expect_failure(run_program({"run", net, "-i", "x="}), 2, "--input 'x=': names no file");
  expect_failure(run_program({"run", net, "-i", scratch.path("gone.npy")}), 3, "gone.npy");
  save_npy(scratch.path("i.npy"), Tensor::from<int64_t>({1, 2}, {1, 2}));
  expect_failure(run_program({"run", net, "-i", scratch.path("i.npy")}), 3, "i64[1,2]",
                 "convert the array to f32");
  save_npy(scratch.path("wide.npy"), Tensor(DType::f32, {1, 3}));
  expect_failure(run_program({"run", net, "-i", scratch.path("wide.npy")}), 3, "f32[1,3]",
                 "--shape x=1,3");
}

TEST_F(Cli, CheckCountsAndEndsWithOneOnFailure) {
  const auto set = [&](const std::string& name, float result) {
    std::filesystem::create_directories(scratch.path("v/" + name));
    scratch.write("v/" + name + "/input_0.pb",
                  tensor_proto_bytes(Tensor::from<float>({1, 2}, {1, -1}), "x"));
    scratch.write("v/" + name + "/output_0.pb",
                  tensor_proto_bytes(Tensor::from<float>({1, 2}, {-1, result}), "y"));
  };
  set("test_data_set_0", -1);
  json o = object_of(run_program({"check", net, "--data", scratch.path("v"), "--json"}));
  EXPECT_EQ(o["passed"], 1);
  EXPECT_EQ(o["failed"], 0);
  set("test_data_set_1", -1.01f);
  const Ran r = run_program({"check", net, "--data", scratch.path("v"), "--json"});
  EXPECT_EQ(r.code, 1);
  o = json::parse(r.out);
  EXPECT_EQ(o["failed"], 1);
  EXPECT_EQ(o["sets"][1]["why"], "'y' differs");
  EXPECT_EQ(run_program({"check", net, "--data", scratch.path("v"), "--tolerance", "0.1"}).code, 0);
  expect_failure(run_program({"check", net, "--data", scratch.path("none")}), 3, "is no folder");
  scratch.write("v/test_data_set_0/input_0.pb", "\xff\xff");
  expect_failure(run_program({"check", net, "--data", scratch.path("v")}), 3,
                 "is not a serialised ONNX tensor");
}

TEST_F(Cli, BenchReportsWhatScriptsRelyOn) {
  const json o = object_of(run_program({"bench", net, "--json", "--seconds", "0.02", "--threads",
                                        "1", "--batch", "3", "--profile"}));
  for (const char* key : {"median_ms", "p10_ms", "p90_ms"}) EXPECT_GT(o[key], 0) << key;
  EXPECT_EQ(o["precision"], "f32");
  EXPECT_EQ(o["threads"], 1);
  EXPECT_EQ(o["batch"], 3);
  EXPECT_FALSE(o["profile"].empty());
}

TEST_F(Cli, BenchTimesStreamsOfLengths) {
  const std::string file = scratch.path("lengths.esp");
  scratch.write("lengths.esp",
                "graph \"g\"(%x: f32[N,T,4]) -> (%y) {\n  %y: f32[N,T,4] = Softmax(%x)\n}\n");
  const auto stream = [&](const std::string& text) {
    return run_program({"bench", file, "--stream", text, "--seconds", "0.02", "--json"});
  };
  const json o = object_of(stream("T=3:24:5"));
  EXPECT_EQ(o["runs"], 5);
  EXPECT_EQ(o["programs"], 5);
  for (const char* key : {"stream_ms", "fixed_ms", "first_ms", "ratio"})
    EXPECT_GT(o[key], 0) << key;
  expect_failure(stream("S=3:24:5"), 2, "no open dimension 'S'", "there are: N, T");
  for (const char* bad : {"T", "T=3", "T=3:2:5", "T=3:24:0", "T=3:24:5:6", "=3:24:5", "T=a:b:c"})
    expect_failure(stream(bad), 2, "is no DIMENSION=FIRST:LAST:COUNT");
}

TEST_F(Cli, ThreadsThatOpenMpBindsAreStillAsManyAsCpus) {
  ::setenv("OMP_PROC_BIND", "true", 1);
  const json o = object_of(run_program({"bench", net, "--seconds", "0.01", "--json"}));
  ::unsetenv("OMP_PROC_BIND");
  EXPECT_EQ(o["threads"], available_cpus());
}

TEST_F(Cli, ExportGoesRoundThroughEveryFormat) {
  const std::string onnx = scratch.path("a.onnx"), plan = scratch.path("a.plan"),
                    esp = scratch.path("b.esp");
  EXPECT_EQ(run_program({"export", net, "-o", onnx}).code, 0);
  EXPECT_EQ(run_program({"export", onnx, "-o", plan}).code, 0);
  EXPECT_EQ(run_program({"export", onnx, "-o", esp}).code, 0);
  for (const auto& m : {onnx, plan, esp}) {
    const json o = object_of(run_program({"run", m, "-i", scratch.path("x.npy"), "--json"}));
    EXPECT_EQ(o["outputs"][0]["values"], json({-1.0, -1.0})) << m;
  }
  expect_failure(run_program({"export", net, "-o", onnx}), 2, "exists already");
  expect_failure(run_program({"export", net, "-o", scratch.path("a.docx")}), 2,
                 "names no network format");
  expect_failure(run_program({"export", net, "-o", scratch.path("no/such/a.onnx")}), 3,
                 "cannot be written");
}

TEST_F(Cli, OptRunsPassesAndPrintsText) {
  const Ran r = run_program({"opt", "--pass=remove_dead", net, "-q"});
  EXPECT_EQ(r.code, 0);
  EXPECT_EQ(print(parse_graph(r.out)), print(parse_graph(kNetwork)));
  EXPECT_EQ(r.err, "");
  EXPECT_THAT(run_program({"opt", "--list"}).out, HasSubstr("fold_constants"));
  expect_failure(run_program({"opt", "--pass=paint", net}), 2, "paint");
}

TEST_F(Cli, DataListsKindsAndReadsSpecs) {
  const json kinds = object_of(run_program({"data", "list", "--json"}));
  EXPECT_GT(kinds["kinds"].size(), 3u);
  EXPECT_FALSE(kinds["sets"].empty());
  save_npz(scratch.path("d.npz"),
           {{"x", Tensor(DType::f32, {4, 2})}, {"y", Tensor::from<int64_t>({4}, {0, 1, 1, 1})}});
  const json made = object_of(run_program(
      {"data", "make", "npz:" + scratch.path("d.npz"), "-o", scratch.path("e.npz"), "--json"}));
  EXPECT_EQ(made["samples"], 4);
  EXPECT_EQ(load_npz(scratch.path("e.npz")).at(0).tensor.shape(), (Shape{4, 2}));
  EXPECT_EQ(made["spec"], "npz:" + scratch.path("e.npz") + "?split=all");
  expect_failure(run_program({"data", "get", "moon-rocks"}), 2, "moon-rocks");
  expect_failure(run_program({"data", "make", "idx:" + scratch.path("none")}), 3, "none");
  expect_failure(run_program({"data", "make", "telepathy:x"}), 2, "telepathy");
}

// ---- bad input ----------------------------------------------------------------------------------

TEST_F(Cli, TruncatedOnnxIsBadInput) {
  const std::string whole = onnx_bytes();
  scratch.write("cut.onnx", whole.substr(0, whole.size() / 2));
  expect_failure(run_program({"inspect", scratch.path("cut.onnx")}), 3, "cut short");
  expect_failure(run_program({"inspect", scratch.path("gone.onnx")}), 3, "gone.onnx");
}

TEST_F(Cli, WrongElementTypeIsBadInput) {
  scratch.write("mixed.esp", R"(graph "m"(%x: i64[1,2]) -> (%y) {
  %w = constant f32[2,2] [1, 2, 3, 4]
  %y: f32[1,2] = MatMul(%x, %w)  @"fc"
}
)");
  expect_failure(run_program({"inspect", scratch.path("mixed.esp")}), 3,
                 "operands are i64 and f32");
}

TEST_F(Cli, UnsupportedOperatorsEndWithFour) {
  std::string bytes = onnx_bytes();
  const size_t at = bytes.find("LeakyRelu");
  bytes.replace(at, 9, "LeakyRule");
  scratch.write("odd.onnx", bytes);
  expect_failure(run_program({"bench", scratch.path("odd.onnx")}), 4, "LeakyRule ('");
}

TEST_F(Cli, UnknownKeysOfDefinitionsAreNamedWithTheirLine) {
  scratch.write(
      "d.yaml",
      "espalier: 1\nname: d\ninput: {name: x, shape: [N, 4]}\ncolour: 3\nbody:\n  - relu\n");
  expect_failure(run_program({"inspect", scratch.path("d.yaml")}), 3, "d.yaml:4");
}

TEST_F(Cli, MissingDataIsBadInput) {
  expect_failure(run_program({"eval", net, "--data", "idx:" + scratch.path("nowhere")}), 3,
                 "nowhere");
  expect_failure(run_program({"eval", net, "--data", "idx"}), 2, "idx");
}

TEST_F(Cli, EvalMeasuresAccuracy) {
  // A network that answers with its input: right where the larger feature names the class.
  scratch.write("same.esp", R"(graph "same"(%x: f32[N,2]) -> (%y) {
  %y: f32[N,2] = LeakyRelu(%x) {alpha = 1.0}
}
)");
  save_npz(scratch.path("d.npz"), {{"x", Tensor::from<float>({4, 2}, {1, 0, 0, 1, 5, 4, 2, 3})},
                                   {"y", Tensor::from<int64_t>({4}, {0, 1, 1, 1})}});
  const json o = object_of(run_program({"eval", scratch.path("same.esp"), "--data",
                                        "npz:" + scratch.path("d.npz") + "?split=all", "--json"}));
  EXPECT_EQ(o["metric"], "top1");
  EXPECT_EQ(o["samples"], 4);
  EXPECT_DOUBLE_EQ(o["value"], 0.75);
}

constexpr const char* kDeeper = R"(graph "deeper"(%x: f32[N,2]) -> (%y) {
  %w = parameter f32[2,4] [1, 2, 3, 4, 0.1, 2, 3, 0.01]
  %v = parameter f32[4,2] [1, 2, 3, 4, 5, 6, 7, 8]
  %h: f32[N,4] = MatMul(%x, %w)
  %r: f32[N,4] = LeakyRelu(%h) {alpha = 0.5}
  %y: f32[N,2] = MatMul(%r, %v)
}
)";

TEST_F(Cli, PruneCutsTheWeakestGroups) {
  scratch.write("deeper.esp", kDeeper);
  const std::string from = scratch.path("deeper.esp"), to = scratch.path("cut.esp");
  const json j = object_of(run_program({"prune", from, "--macs", "75%", "-o", to, "--json"}));
  EXPECT_EQ(j["macs_before"], 16);
  EXPECT_EQ(j["macs"], 12);
  EXPECT_EQ(j["classes"][0]["kept"], 3);
  const Graph cut = parse_graph(read_file(to));
  const Tensor& w = *cut.value(cut.find("w")).constant;
  EXPECT_EQ(w.shape(), (Shape{2, 3}));
  EXPECT_FLOAT_EQ(float(w.at(3)), 2);  // the column 1, 0.1 is gone
  expect_failure(run_program({"prune", from, "--macs", "75%", "-o", to}), 2, "exists already");
  expect_failure(run_program({"prune", from, "-o", scratch.path("n.esp")}), 2,
                 "one of --macs and --keep");
  expect_failure(run_program({"prune", from, "--macs", "much", "-o", scratch.path("n.esp")}), 2,
                 "is no share");
  expect_failure(run_program({"prune", from, "--macs", "1%", "-o", scratch.path("n.esp")}), 5,
                 "cannot be cut to 1 %");
  expect_failure(run_program({"prune", net, "--macs", "50%", "-o", scratch.path("n.esp")}), 4,
                 "nothing that can be cut");
  const json classes = object_of(run_program({"inspect", from, "--classes", "--json"}));
  EXPECT_EQ(classes["classes"][0]["groups"], 4);
  EXPECT_THAT(classes["pinned"][0]["reason"].get<std::string>(), HasSubstr("graph input"));
}

TEST_F(Cli, QuantizeWritesIntegersThatAnswerAlike) {
  scratch.write("deeper.esp", kDeeper);
  std::string rows = "a,b,label\n";
  for (int y = 0; y < 8; ++y)
    for (int x = 0; x < 8; ++x)
      rows += std::to_string(0.25 * x - 1) + "," + std::to_string(0.25 * y - 1) + "," +
              std::to_string(x % 2) + "\n";
  scratch.write("points.csv", rows);
  const std::string from = scratch.path("deeper.esp"), to = scratch.path("int8.esp");
  const std::string data = "csv:" + scratch.path("points.csv") + "?cache=off";
  const json j = object_of(
      run_program({"quantize", from, "--data", data, "--samples", "32", "-o", to, "--json"}));
  EXPECT_EQ(j["layers"], 2);
  EXPECT_EQ(j["samples"], 32);
  EXPECT_LT(j["relative_error"].get<double>(), 0.05);
  EXPECT_THAT(read_file(to), HasSubstr("QuantizeLinear"));
  expect_failure(run_program({"quantize", from, "-o", scratch.path("n.esp")}), 2,
                 "is needed to calibrate");
  expect_failure(run_program({"quantize", from, "--data", data, "--method", "entropy", "-o",
                              scratch.path("n.esp")}),
                 2, "'entropy' is not known", "choose minmax or percentile");
  expect_failure(run_program({"quantize", from, "--data", data, "--exclude", "z", "-o",
                              scratch.path("n.esp")}),
                 2, "layer 'z'");
  const json half = object_of(run_program(
      {"quantize", from, "--precision", "bf16", "-o", scratch.path("half.esp"), "--json"}));
  EXPECT_EQ(half["weight_bytes"].get<int>() * 2, half["weight_bytes_before"].get<int>());

  const json chosen =
      object_of(run_program({"quantize", from, "--data", data, "--precision", "auto", "--max-error",
                             "0", "-o", scratch.path("auto.esp"), "--json"}));
  EXPECT_EQ(chosen["choice"]["chosen"], "f32");
  EXPECT_GE(chosen["choice"]["candidates"].size(), 3u);
  const json timed =
      object_of(run_program({"bench", from, "--precision", "auto", "--seconds", "0.01", "--json"}));
  EXPECT_THAT(timed["choice"]["notes"][0].get<std::string>(), HasSubstr("no data were given"));
  expect_failure(run_program({"bench", from, "--precision", "int9"}), 2, "'int9' is not known");
}

}  // namespace
}  // namespace espalier

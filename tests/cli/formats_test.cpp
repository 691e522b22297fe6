// TFLite files in, weights out and in, as a user meets them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "formats/npy.h"
#include "formats/safetensors.h"
#include "tests/cli/points.h"
#include "tests/cli/program.h"
#include "tests/support/data.h"

namespace espalier {
namespace {

using nlohmann::json;
using testing::expect_failure;
using ::testing::HasSubstr;
using testing::run_program;
using testing::Scratch;

json done(std::vector<std::string> command) {
  command.emplace_back("--json");
  const auto r = run_program(command);
  EXPECT_EQ(r.code, 0) << r.err;
  return r.out.empty() ? json() : json::parse(r.out);
}

TEST(TfliteVerbs, WhatIsNoTfliteFileIsBadInput) {
  const Scratch scratch;
  scratch.write("x.tflite", "hello");
  expect_failure(run_program({"inspect", scratch.path("x.tflite")}), 3, "is no TFLite file",
                 "TFL3");
}

TEST(TfliteVerbs, NetworksOfMlperfTiny) {
  const std::string folder = "mlperf_tiny/models/image_classification/trained_models/";
  ESP_SKIP_WITHOUT_DATA(folder);
  const Scratch scratch;
  const std::string real = testing::data_path(folder + "pretrainedResnet.tflite").string();
  const std::string integers =
      testing::data_path(folder + "pretrainedResnet_quant.tflite").string();
  const json inspected = done({"inspect", real});
  // Convolutions, their biases and the last layer; batch norms are folded into them.
  EXPECT_EQ(inspected["params"], 77706);
  EXPECT_EQ(inspected["macs"], 12501632);

  Tensor x(DType::i8, {1, 32, 32, 3});
  for (int64_t i = 0; i < x.size(); ++i) x.mutable_data<int8_t>()[i] = int8_t(i % 200 - 100);
  save_npy(scratch.path("x.npy"), x);
  const json ran = done({"run", integers, "--input", scratch.path("x.npy")});
  EXPECT_EQ(ran["outputs"][0]["type"], "i8[1,10]");
  done({"export", integers, "-o", scratch.path("net.onnx")});
  EXPECT_EQ(done({"run", scratch.path("net.onnx"), "--input", scratch.path("x.npy")}), ran);
  EXPECT_GT(done({"bench", integers, "--threads", "1", "--seconds", "0.05"})["median_ms"], 0);

  const std::string data =
      "cifar:" + testing::data_path("cifar10/lossless_test_first1000.bin.gz").string() +
      "?normalize=raw&split=all&limit=100";
  const json top = done({"eval", integers, "--data", data + "&layout=nhwc"});
  EXPECT_EQ(top["samples"], 100);
  EXPECT_GE(top["value"], 0.8);
  expect_failure(run_program({"eval", real, "--data", data}), 3, "the network takes f32[N,32,32,3]",
                 "layout=nhwc");
}

class WeightVerbs : public ::testing::Test {
 protected:
  WeightVerbs() { scratch.write("net.yaml", testing::points_network()); }
  std::string p(const std::string& name) const { return scratch.path(name); }
  Scratch scratch;
};

TEST_F(WeightVerbs, ADefinitionAndAFileOfWeightsAreANetwork) {
  done({"export", p("net.yaml"), "-o", p("w.safetensors")});
  TensorFile file = load_safetensors(p("w.safetensors"));
  for (auto& [name, tensor] : file.tensors) {
    Tensor changed = tensor.clone();
    for (int64_t i = 0; i < changed.size(); ++i) changed.mutable_data<float>()[i] *= 2;
    tensor = changed;
  }
  save_safetensors(file, p("changed.safetensors"));
  done({"export", p("net.yaml"), "--weights", p("changed.safetensors"), "-o", p("net.onnx")});
  done({"export", p("net.onnx"), "-o", p("again.safetensors")});
  const TensorFile again = load_safetensors(p("again.safetensors"));
  ASSERT_EQ(again.tensors.size(), file.tensors.size());
  for (const auto& [name, tensor] : file.tensors)
    EXPECT_TRUE(again.tensors.at(name).identical(tensor)) << name;
  // They fit the ONNX file they came from, too.
  done({"inspect", p("net.onnx"), "--weights", p("w.safetensors")});
}

TEST_F(WeightVerbs, WeightsThatDoNotFitAreOneError) {
  TensorFile file;
  file.tensors["other"] = Tensor(DType::f32, {3});
  save_safetensors(file, p("w.safetensors"));
  expect_failure(run_program({"inspect", p("net.yaml"), "--weights", p("w.safetensors")}), 3,
                 "the network has no: 'other'", "espalier export");
  expect_failure(run_program({"inspect", p("net.yaml"), "--weights", p("w.npz")}), 2,
                 "is no file of weights by its name", ".safetensors");
  scratch.write("torn.safetensors", "torn");
  expect_failure(run_program({"inspect", p("net.yaml"), "--weights", p("torn.safetensors")}), 3,
                 "has 4 bytes", "no safetensors file");
}

TEST_F(WeightVerbs, FitTakesADefinitionWithWeights) {
  scratch.write("points.csv", testing::points_table());
  const std::string data = "csv:" + p("points.csv") + "?val=0.2";
  const std::vector<std::string> fit = {"fit",   p("net.yaml"), "--data",
                                        data,    "--budget",    "size=1MB,drop=100",
                                        "--out", p("run"),      "-q"};
  expect_failure(run_program(fit), 2, "its weights are random", "--weights FILE");
  done({"export", p("net.yaml"), "-o", p("w.safetensors")});
  auto with = fit;
  with.insert(with.end(), {"--weights", p("w.safetensors"), "--json"});
  const auto r = run_program(with);
  EXPECT_TRUE(r.code == 0 || r.code == 5) << r.err;
  EXPECT_THAT(r.out, HasSubstr("w.safetensors"));
}

}  // namespace
}  // namespace espalier

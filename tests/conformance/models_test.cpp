// Trained networks from elsewhere give what ONNX Runtime gives: by the reference and compiled.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "base/threads.h"
#include "data/source.h"
#include "ir/interpret.h"
#include "onnx/export.h"
#include "onnx/import.h"
#include "onnx/tensor_proto.h"
#include "runtime/session.h"
#include "tests/support/data.h"
#include "train/trainer.h"

namespace espalier {
namespace {
namespace fs = std::filesystem;

constexpr double kTolerance = 1e-4;  // of the largest expected magnitude

std::vector<Tensor> vectors(const fs::path& folder, const std::string& kind) {
  std::vector<Tensor> tensors;
  for (int i = 0; fs::exists(folder / (kind + "_" + std::to_string(i) + ".pb")); ++i)
    tensors.push_back(read_tensor_proto(folder / (kind + "_" + std::to_string(i) + ".pb")));
  return tensors;
}

void expect_close(const std::vector<Tensor>& got, const std::vector<Tensor>& want,
                  const std::string& how) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_EQ(got[i].shape(), want[i].shape()) << how << " result " << i;
    double most = 0, difference = 0;
    for (int64_t k = 0; k < want[i].size(); ++k) {
      most = std::max(most, std::abs(want[i].at(k)));
      difference = std::max(difference, std::abs(got[i].at(k) - want[i].at(k)));
    }
    EXPECT_LE(difference, kTolerance * most) << how << " result " << i;
  }
}

class TrainedModel : public ::testing::TestWithParam<const char*> {};

TEST_P(TrainedModel, GivesTheStoredOutputs) {
  const std::string model = std::string("models/") + GetParam();
  ESP_SKIP_WITHOUT_DATA(model + ".onnx");
  const fs::path set = testing::data_path(model + ".test/test_data_set_0");
  const auto inputs = vectors(set, "input"), want = vectors(set, "output");
  ASSERT_FALSE(want.empty());
  const Graph g = import_onnx(testing::data_path(model + ".onnx"));
  expect_close(interpret(g, inputs), want, "reference");
  expect_close(Model(g).run(inputs), want, "compiled");
  const Graph back = import_onnx_bytes(export_onnx_bytes(g), "exported");
  expect_close(Model(back).run(inputs), want, "exported");
}

INSTANTIATE_TEST_SUITE_P(All, TrainedModel,
                         ::testing::Values("mnist/mnist", "mnist/opt-mnist",
                                           "superres/pytorch_super_resolution",
                                           "ultraface/version-RFB-320",
                                           "ultraface/version-slim-320_simplified",
                                           "fastestdet/FastestDet", "dtln/model_1", "dtln/model_2"),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name)
                             if (!isalnum(static_cast<unsigned char>(c))) c = '_';
                           return name;
                         });

TEST(TrainedMnist, IsRightOnMostOfTheTestSet) {
  ESP_SKIP_WITHOUT_DATA("models/mnist/mnist.onnx");
  ESP_SKIP_WITHOUT_DATA("mnist");
  const Graph g = import_onnx(testing::data_path("models/mnist/mnist.onnx"));
  const auto spec =
      DataSpec::parse("idx:" + testing::data_path("mnist").string() + "?normalize=raw&split=test");
  set_num_threads(1);  // images are small, and one by one
  const Evaluation e = evaluate(g, *load_dataset(spec, Split::test), Loss::kCrossEntropy);
  EXPECT_EQ(e.samples, 10000);
  EXPECT_GE(e.accuracy, 0.989);
}

}  // namespace
}  // namespace espalier

// Networks of others as recipes take them: fixed batches, weights that are reshaped, plans.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "base/rng.h"
#include "compress/axis_classes.h"
#include "ir/interpret.h"
#include "ir/text.h"
#include "passes/passes.h"
#include "recipe/recipe.h"
#include "runtime/plan.h"
#include "runtime/session.h"
#include "tests/onnx/models.h"
#include "tests/support/data.h"
#include "train/step.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

Tensor random(const Shape& shape, uint64_t stream) {
  Tensor t(DType::f32, shape);
  const Rng rng(2, stream);
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] = float(0.3 * rng.normal(uint64_t(i)));
  return t;
}

/// A classifier as CNTK wrote them: one sample, a flattening reshape, a weight of rank four.
testing::OnnxModel classifier() {
  testing::OnnxModel m(8);
  m.input("x", {1, 1, 6, 6})
      .constant("k", random({4, 1, 3, 3}, 1))
      .constant("flat", Tensor::vector_i64(std::vector<int64_t>{1, 64}))
      .constant("w", random({4, 4, 4, 5}, 2))
      .constant("matrix", Tensor::vector_i64(std::vector<int64_t>{64, 5}))
      .constant("c", random({1, 5}, 3))
      .node("Conv", {"x", "k"}, {"conv"}, {}, "conv")
      .node("Relu", {"conv"}, {"relu"})
      .node("Reshape", {"relu", "flat"}, {"features"})
      .node("Reshape", {"w", "matrix"}, {"weight"})
      .node("MatMul", {"features", "weight"}, {"product"}, {}, "fc")
      .node("Add", {"product", "c"}, {"y"})
      .output("y");
  return m;
}

class ForeignNetworks : public ::testing::Test {
 protected:
  void SetUp() override {
    folder =
        fs::path(::testing::TempDir()) /
        (std::string("foreign_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder);
  }
  void TearDown() override { fs::remove_all(folder); }
  Graph taken(const std::string& name) const {
    return model_from_file((folder / name).string()).build(0, nullptr);
  }
  fs::path folder;
};

TEST_F(ForeignNetworks, OpenTheirBatchAndTrainReshapedWeights) {
  write_file_atomic(folder / "net.onnx", classifier().bytes());
  const Graph g = taken("net.onnx");
  EXPECT_FALSE(g.value(g.inputs()[0]).tensor().dims[0].known());
  ASSERT_NE(g.find("w"), kNoValue);
  EXPECT_EQ(g.value(g.find("w")).tensor().shape(), (Shape{64, 5}));
  EXPECT_EQ(g.value(g.find("w")).role, Role::kParameter);
  StepOptions options;
  options.input = {7, 1, 6, 6};
  const StepGraph step = build_training_step(g, options, {});
  std::vector<std::string> names;
  for (const StepParameter& p : step.parameters) names.push_back(p.name);
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("k", "w", "c"));
  // The convolution's channels reach through the reshape into the weight.
  bool cut = false;
  for (const AxisClass& c : axis_classes(g).classes) cut = cut || c.name == "k[0]";
  EXPECT_TRUE(cut);
}

TEST_F(ForeignNetworks, AnswerAsBefore) {
  write_file_atomic(folder / "net.onnx", classifier().bytes());
  const Graph fixed = classifier().import(), g = taken("net.onnx");
  const Tensor x = random({3, 1, 6, 6}, 9);
  const Tensor got = interpret(g, std::vector<Tensor>{x})[0];
  for (int64_t n = 0; n < 3; ++n) {
    Tensor one(DType::f32, {1, 1, 6, 6});
    for (int64_t i = 0; i < 36; ++i) one.mutable_data<float>()[i] = x.data<float>()[36 * n + i];
    const Tensor want = interpret(fixed, std::vector<Tensor>{one})[0];
    for (int64_t i = 0; i < 5; ++i) EXPECT_NEAR(got.at(5 * n + i), want.at(i), 1e-6);
  }
}

TEST_F(ForeignNetworks, PlansAreTakenApart) {
  Graph optimised = classifier().import();
  run_passes(optimised);
  save_plan(optimised.compacted(), folder / "net.plan");
  const Graph g = taken("net.plan");
  StepOptions options;
  options.input = {7, 1, 6, 6};
  EXPECT_EQ(build_training_step(g, options, {}).parameters.size(), 3u);
}

TEST_F(ForeignNetworks, OneErrorNamesWhatIsTiedToTheBatch) {
  auto m = classifier();
  m.constant("merged", Tensor::vector_i64(std::vector<int64_t>{5, 1}))
      .node("Reshape", {"y", "merged"}, {"z"}, {}, "merge");
  m.graph().mutable_output(0)->set_name("z");
  write_file_atomic(folder / "net.onnx", m.bytes());
  try {
    taken("net.onnx");
    FAIL();
  } catch (const UserError& e) {
    EXPECT_EQ(e.code(), ExitCode::kUnsupported);
    EXPECT_THAT(e.where(), HasSubstr("Reshape 'merge'"));
    EXPECT_THAT(e.problem(), HasSubstr("works on batches of 1 only"));
  }
}

/// Rows `from` to `from + rows` along the first axis.
Tensor rows_of(const Tensor& t, int64_t from, int64_t rows) {
  Shape shape = t.shape();
  const int64_t width = t.size() / shape[0];
  shape[0] = rows;
  Tensor part(DType::f32, shape);
  std::copy_n(t.data<float>() + from * width, rows * width, part.mutable_data<float>());
  return part;
}

TEST_F(ForeignNetworks, RealNetworksAnswerAlikeInBatches) {
  for (const char* name : {"mnist/mnist", "mnist/opt-mnist", "dtln/model_1", "dtln/model_2",
                           "ultraface/version-slim-320_simplified"}) {
    SCOPED_TRACE(name);
    const std::string file = "models/" + std::string(name) + ".onnx";
    ESP_SKIP_WITHOUT_DATA(file);
    const Graph fixed = import_onnx(testing::data_path(file));
    const Graph open = model_from_file(testing::data_path(file).string()).build(0, nullptr);
    std::vector<Tensor> both, first, second;
    for (ValueId v : fixed.inputs()) {
      Shape shape = fixed.value(v).tensor().shape();
      ASSERT_EQ(shape[0], 1);
      shape[0] = 2;
      both.push_back(random(shape, 40 + both.size()));
      first.push_back(rows_of(both.back(), 0, 1));
      second.push_back(rows_of(both.back(), 1, 1));
    }
    Model one(fixed), many(open);
    const auto got = many.run(both), a = one.run(first), b = one.run(second);
    for (size_t k = 0; k < got.size(); ++k) {
      const double scale = 1 + std::abs(a[k].at(0));
      for (int64_t i = 0; i < a[k].size(); ++i) {
        ASSERT_NEAR(got[k].at(i), a[k].at(i), 1e-4 * scale) << k << " " << i;
        ASSERT_NEAR(got[k].at(a[k].size() + i), b[k].at(i), 1e-4 * scale) << k << " " << i;
      }
    }
  }
}

TEST_F(ForeignNetworks, RealMnistNetworksTrain) {
  ESP_SKIP_WITHOUT_DATA("models/mnist/mnist.onnx");
  for (const char* name : {"mnist.onnx", "opt-mnist.onnx"}) {
    SCOPED_TRACE(name);
    const auto path = testing::data_path(std::string("models/mnist/") + name);
    const Graph g = model_from_file(path.string()).build(0, nullptr);
    StepOptions options;
    options.input = {4, 1, 28, 28};
    const StepGraph step = build_training_step(g, options, {});
    bool matrix = false;
    for (const StepParameter& p : step.parameters)
      matrix = matrix || step.graph.value(p.value).tensor().shape() == Shape{256, 10};
    EXPECT_TRUE(matrix);
  }
}

}  // namespace
}  // namespace espalier

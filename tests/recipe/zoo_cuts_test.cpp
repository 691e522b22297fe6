// The networks of the zoo, cut: classes as their papers have them, pruned ≡ masked.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "compress/budget.h"
#include "compress/quantize.h"
#include "compress/restrict.h"
#include "ir/derive.h"
#include "ir/interpret.h"
#include "onnx/import.h"
#include "recipe/blueprint.h"
#include "runtime/session.h"
#include "tests/support/data.h"

namespace espalier {
namespace {

Graph zoo(const std::string& name, const std::map<std::string, std::string>& variables = {}) {
  return load_blueprint(zoo_path(name), {.variables = variables});
}

/// Random inputs, one sample.
std::vector<Tensor> sample(const Graph& g) {
  std::vector<Tensor> inputs;
  for (ValueId v : g.inputs()) {
    Shape shape;
    for (const Dim& d : g.value(v).tensor().dims) shape.push_back(d.known() ? d.value() : 1);
    Tensor x(DType::f32, shape);
    const Rng rng(3, uint64_t(v));
    for (int64_t i = 0; i < x.size(); ++i)
      x.mutable_data<float>()[i] = float(rng.uniform(uint64_t(i), -1, 1));
    inputs.push_back(std::move(x));
  }
  return inputs;
}

Keep random_keep(const AxisClasses& classes, double share) {
  Keep keep = Keep::all(classes);
  const Rng rng(5, 2);
  uint64_t draw = 0;
  for (auto& c : keep.groups) {
    for (size_t i = 0; i < c.size(); ++i) c[i] = rng.uniform(draw++) < share;
    c[rng.below(draw++, c.size())] = true;
  }
  return keep;
}

double largest(const Tensor& t) {
  double m = 0;
  for (int64_t i = 0; i < t.size(); ++i) m = std::max(m, std::abs(t.at(i)));
  return m;
}

double largest_difference(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) return 1e30;
  double worst = 0;
  for (int64_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a.at(i) - b.at(i)));
  return worst;
}

/// |a - b| / |b|, Euclidean.
double relative_error(const Tensor& a, const Tensor& b) {
  double error = 0, energy = 0;
  for (int64_t i = 0; i < b.size(); ++i) {
    error += (a.at(i) - b.at(i)) * (a.at(i) - b.at(i));
    energy += b.at(i) * b.at(i);
  }
  return std::sqrt(error / energy);
}

/// Exactly on the reference kernels, within rounding on the fast ones, and as cheap as predicted.
void expect_cut_equals_masked(const Graph& g) {
  const AxisClasses classes = axis_classes(g);
  const Keep keep = random_keep(classes, 0.6);
  const Graph pruned = restrict(g, classes, keep), twin = masked(classes, keep);
  const auto x = sample(g);
  const auto want = interpret(twin, x), slow = interpret(pruned, x), fast = Model(pruned).run(x);
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(largest_difference(slow[i], want[i]), 0) << "output " << i;
    EXPECT_LE(largest_difference(fast[i], want[i]), 1e-4 * largest(want[i])) << "output " << i;
  }
  std::vector<Shape> shapes;
  for (const Tensor& t : x) shapes.push_back(t.shape());
  EXPECT_NEAR(cost_of_cut(classes, keep).macs, cost_of(specialised(pruned, shapes)).macs, 0.5);
}

std::vector<std::string> summary(const AxisClasses& classes) {
  std::vector<std::string> lines;
  for (const AxisClass& c : classes.classes)
    lines.push_back(c.name + " x" + std::to_string(c.groups.size()));
  return lines;
}

TEST(ZooCuts, ResNet8HasOneClassPerStageAndOnePerBlock) {
  EXPECT_THAT(
      summary(axis_classes(zoo("resnet8"))),
      ::testing::UnorderedElementsAre(::testing::EndsWith("x16"), ::testing::EndsWith("x16"),
                                      ::testing::EndsWith("x32"), ::testing::EndsWith("x32"),
                                      ::testing::EndsWith("x64"), ::testing::EndsWith("x64")));
}

TEST(ZooCuts, ResNet20) {
  const Graph g = zoo("resnet20");
  EXPECT_EQ(axis_classes(g).classes.size(), 3u + 9u);
  expect_cut_equals_masked(g);
}
TEST(ZooCuts, ResNet8) { expect_cut_equals_masked(zoo("resnet8")); }
TEST(ZooCuts, MobileNetV2) { expect_cut_equals_masked(zoo("mobilenetv2", {{"size", "32"}})); }
TEST(ZooCuts, DsCnn) { expect_cut_equals_masked(zoo("ds_cnn")); }
TEST(ZooCuts, LeNet5) { expect_cut_equals_masked(zoo("lenet5")); }
TEST(ZooCuts, Mlp) { expect_cut_equals_masked(zoo("mlp")); }

TEST(ZooCuts, NetworksOfOthers) {
  ESP_SKIP_WITHOUT_DATA("models");
  for (const char* file :
       {"mnist/mnist.onnx", "mnist/opt-mnist.onnx", "ultraface/version-RFB-320.onnx",
        "ultraface/version-slim-320_simplified.onnx", "fastestdet/FastestDet.onnx",
        "dtln/model_2.onnx"}) {
    SCOPED_TRACE(file);
    expect_cut_equals_masked(
        import_onnx(testing::data_path(std::string("models/") + file).string()));
  }
}

TEST(ZooCuts, HalfTheWorkOfResNet20) {
  const AxisClasses classes = axis_classes(zoo("resnet20"));
  for (int64_t multiple : {1, 8, 16}) {
    const Keep keep = magnitude_cut(classes, {.macs = 0.5, .width_multiple = multiple});
    const double share =
        cost_of_cut(classes, keep).macs / cost_of_cut(classes, Keep::all(classes)).macs;
    EXPECT_LE(share, 0.5);
    EXPECT_GT(share, 0.42) << multiple;
    for (size_t c = 0; c < classes.classes.size(); ++c) {
      if (classes.classes[c].groups.size() < 2 * size_t(multiple)) continue;
      EXPECT_EQ(keep.kept(c) % size_t(multiple), 0u);
    }
  }
}

TEST(ZooCuts, EveryLayerOfTheZooRunsOnIntegers) {
  for (const char* name : {"resnet8", "lenet5", "ds_cnn"}) {
    const Graph prepared = prepared_for_quantization(zoo(name));
    Calibrator calibrator(prepared, RangeMethod::kMinMax);
    const auto x = sample(prepared);
    calibrator.observe(x);
    const Graph q = quantize(prepared, calibrator.ranges());
    const Tensor want = interpret(prepared, x)[0];
    EXPECT_LE(largest_difference(interpret(q, x)[0], want), 0.1 * largest(want)) << name;
    // Everything between the input and the last layer is stored as integers.
    const auto program = compile(specialised(q, std::vector<Shape>{x[0].shape()}));
    for (const InstructionInfo& i : program->instructions())
      EXPECT_TRUE(i.macs == 0 || !i.reference) << name << ": " << i.node << " " << i.kernel;
  }
}

TEST(ZooCuts, NetworksOfOthersOnIntegers) {
  ESP_SKIP_WITHOUT_DATA("models");
  for (const char* file :
       {"mnist/mnist.onnx", "ultraface/version-RFB-320.onnx",
        "ultraface/version-slim-320_simplified.onnx", "fastestdet/FastestDet.onnx"}) {
    SCOPED_TRACE(file);
    const Graph prepared = prepared_for_quantization(
        import_onnx(testing::data_path(std::string("models/") + file).string()));
    const auto x = sample(prepared);
    Calibrator calibrator(prepared, RangeMethod::kMinMax);
    calibrator.observe(x);
    const Graph q = quantize(prepared, calibrator.ranges());
    const auto want = interpret(prepared, x), slow = interpret(q, x), fast = Model(q).run(x);
    for (size_t i = 0; i < want.size(); ++i) {
      // Noise is what these networks answer least surely to.
      EXPECT_LE(relative_error(slow[i], want[i]), 0.25) << "output " << i;
      EXPECT_LE(relative_error(fast[i], slow[i]), 0.1) << "output " << i;
    }
  }
}

}  // namespace
}  // namespace espalier

// Whole networks as C: what they compute is what the interpreter computes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "compress/quantize.h"
#include "deploy/c_file.h"
#include "deploy/compiled_c.h"
#include "ir/builder.h"
#include "ir/derive.h"
#include "ir/interpret.h"
#include "ir/text.h"
#include "onnx/import.h"
#include "recipe/blueprint.h"
#include "tests/deploy/run_c.h"
#include "tests/support/data.h"
#include "tests/support/networks.h"
#include "tests/support/samples.h"
#include "tests/support/tree.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// A shipped network at batch 1.
Graph zoo(const std::string& name) {
  const Graph g = load_blueprint(testing::source_dir() + "/recipes/zoo/" + name + ".yaml");
  std::vector<Shape> shapes;
  for (ValueId v : g.inputs()) {
    Shape shape;
    for (const Dim& d : g.value(v).tensor().dims) shape.push_back(d.known() ? d.value() : 1);
    shapes.push_back(shape);
  }
  return specialised(g, shapes);
}

/// The largest difference from the interpreter's results, over `count` random inputs.
double difference_in_c(const CFile& file, const Graph& g, int count = 2) {
  const CompiledC c(file, {"-O2"});
  double worst = 0;
  for (int i = 0; i < count; ++i) {
    const auto inputs = testing::random_inputs(g, 1, uint64_t(100 + i));
    const auto want = interpret(g, inputs), got = c.run(0, inputs);
    for (size_t o = 0; o < want.size(); ++o)
      worst = std::max(worst, testing::largest_difference(got[o], want[o]));
  }
  return worst;
}

class Zoo : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(All, Zoo, ::testing::Values("lenet5", "resnet8", "ds_cnn", "mlp"),
                         [](const auto& info) { return info.param; });

TEST_P(Zoo, RunsInC) {
  const Graph g = zoo(GetParam());
  CFile file(GetParam());
  file.add(g, "run");
  EXPECT_LE(difference_in_c(file, g), 1e-4);
  // Weights are stored once, activations share their places.
  int64_t weights = 0, activations = 0;
  for (ValueId v : g.constants()) weights += int64_t(g.value(v).constant->bytes());
  for (NodeId id : g.order())
    for (ValueId v : g.node(id).outputs)
      if (v != kNoValue) activations += g.value(v).tensor().numel() * 4;
  EXPECT_LE(int64_t(file.weight_bytes()), weights);
  EXPECT_LT(int64_t(file.arena_bytes()), activations / 2);
}

TEST(NetworksInC, CompileWithoutWarnings) {
  const Graph g = zoo("resnet8");
  CFile file("resnet8");
  file.add(g, "resnet8_run");
  const auto inputs = testing::random_inputs(g, 1, 5);
  const auto got = testing::run_in_c(file, "resnet8", {inputs}, "-O2");
  ASSERT_EQ(got[0].size(), 1u);
  EXPECT_LE(testing::largest_difference(got[0][0], interpret(g, inputs)[0]), 1e-4);
}

TEST(NetworksInC, QuantisedOnesStayOnIntegers) {
  for (const char* name : {"ds_cnn", "resnet8"}) {
    const Graph prepared = prepared_for_quantization(zoo(name));
    Calibrator calibrator(prepared, RangeMethod::kMinMax);
    for (int i = 0; i < 4; ++i)
      calibrator.observe(testing::random_inputs(prepared, 1, uint64_t(i)));
    const Graph q = quantize(prepared, calibrator.ranges());
    CFile file(name), floats("floats");
    file.add(q, "run");
    floats.add(prepared, "run");
    const std::string source = file.source();
    EXPECT_THAT(source, HasSubstr("esp_conv_int8("));
    EXPECT_THAT(source, HasSubstr("esp_matmul_int8("));
    EXPECT_THAT(source, Not(HasSubstr("esp_conv_f32(&")));
    EXPECT_THAT(source, Not(HasSubstr("esp_matmul_f32(&")));
    EXPECT_LT(file.weight_bytes(), floats.weight_bytes() * 10 / 25);
    EXPECT_LT(file.arena_bytes(), floats.arena_bytes() / 2);
    // As far from the interpreter as steps that fall on the other side may add up to.
    const auto inputs = testing::random_inputs(q, 1, 77);
    const auto want = interpret(q, inputs);
    double largest = 0;
    for (int64_t i = 0; i < want[0].size(); ++i)
      largest = std::max(largest, std::abs(want[0].at(i)));
    EXPECT_LE(difference_in_c(file, q), 0.02 * largest) << name;
  }
}

TEST(NetworksInC, Recurrent) {
  Graph g;
  const ValueId x = g.add_input("x", TensorType(DType::f32, Shape{7, 2, 5}));
  Builder b(g);
  const auto weight = [&](Shape shape, const char* name) {
    return b.constant(testing::random_tensor(std::move(shape), name), name);
  };
  const Values lstm =
      b.op("LSTM", {x, weight({2, 24, 5}, "w"), weight({2, 24, 6}, "r"), weight({2, 48}, "b")},
           {{"hidden_size", int64_t{6}}, {"direction", std::string("bidirectional")}});
  g.add_output(lstm[0]);
  g.add_output(b.op("GRU", {x, weight({1, 12, 5}, "gw"), weight({1, 12, 4}, "gr")},
                    {{"hidden_size", int64_t{4}}})[1]);
  CFile file("recurrent");
  file.add(g, "run");
  EXPECT_LE(difference_in_c(file, g), 1e-5);
}

TEST(NetworksInC, BranchesAndLoops) {
  const Graph g = parse_graph(R"(
graph "dynamic"(%c: bool[], %x: f32[4]) -> (%y, %z) {
  %y = If(%c, %x) {then_branch = graph "up"(%a: f32[4]) -> (%b) {
    %b = Exp(%a)
  }, else_branch = graph "down"(%a: f32[4]) -> (%b) {
    %b = Neg(%a)
  }}
  %z = Mul(%y, %y)
})");
  CFile file("dynamic");
  file.add(g, "run");
  EXPECT_THAT(file.source(), HasSubstr("dynamic_body_up("));
  const CompiledC c(file);
  for (bool up : {true, false}) {
    const std::vector<Tensor> in = {Tensor::scalar(up), Tensor::from<float>({4}, {1, -2, 0, 0.5f})};
    const auto want = interpret(g, in), got = c.run(0, in);
    for (size_t o = 0; o < want.size(); ++o)
      EXPECT_LE(testing::largest_difference(got[o], want[o]), 1e-5);
  }
}

TEST(NetworksInC, RefusesSizesThatDependOnData) {
  Graph g;
  const ValueId x = g.add_input("x", TensorType(DType::f32, Shape{4}));
  Builder b(g);
  const ValueId picked = b.op("NonZero", {x}, {}, "picker")[0];
  g.add_output(picked);
  CFile file("open");
  try {
    file.add(g, "run");
    FAIL();
  } catch (const UserError& e) {
    EXPECT_EQ(e.code(), ExitCode::kUnsupported);
    EXPECT_THAT(e.what(), HasSubstr("NonZero 'picker'"));
  }
}

TEST(NetworksInC, Mnist) {
  ESP_SKIP_WITHOUT_DATA("models/mnist/mnist.onnx");
  const Graph model = import_onnx(testing::data_path("models/mnist/mnist.onnx"));
  std::vector<Shape> shapes;
  for (ValueId v : model.inputs()) {
    Shape shape;
    for (const Dim& d : model.value(v).tensor().dims) shape.push_back(d.known() ? d.value() : 1);
    shapes.push_back(shape);
  }
  const Graph g = specialised(model, shapes);
  CFile file("mnist");
  file.add(g, "run");
  EXPECT_LE(difference_in_c(file, g), 1e-2);
}

}  // namespace
}  // namespace espalier

#include "compress/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "compress/half_precision.h"
#include "formats/npy.h"
#include "ir/builder.h"
#include "ir/interpret.h"
#include "ir/room.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "runtime/session.h"
#include "tests/compress/cuts.h"
#include "tests/support/networks.h"

namespace espalier {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::vector<Tensor>> samples_of(const Graph& g, int count = 4) {
  std::vector<std::vector<Tensor>> samples;
  for (int i = 0; i < count; ++i)
    samples.push_back(testing::random_inputs(g, 8, uint64_t(100 + i)));
  return samples;
}

Ranges calibrated(const Graph& prepared, RangeMethod method = RangeMethod::kMinMax) {
  Calibrator c(prepared, method);
  for (const auto& inputs : samples_of(prepared)) c.observe(inputs);
  return c.ranges();
}

int count_of(const Graph& g, const std::string& op) {
  int n = 0;
  for (NodeId id : g.order()) n += g.node(id).room->op.name == op;
  return n;
}

double relative_error(const Tensor& got, const Tensor& want) {
  double error = 0, energy = 0;
  for (int64_t i = 0; i < want.size(); ++i) {
    error += (got.at(i) - want.at(i)) * (got.at(i) - want.at(i));
    energy += want.at(i) * want.at(i);
  }
  return std::sqrt(error / energy);
}

const Tensor& constant(const Graph& g, const std::string& name) {
  const ValueId v = g.find(name);
  EXPECT_NE(v, kNoValue) << name;
  return *g.value(v).constant;
}

struct Named {
  const char* name;
  Graph (*make)();
};
void PrintTo(const Named& n, std::ostream* out) { *out << n.name; }

class Quantized : public ::testing::TestWithParam<Named> {};
INSTANTIATE_TEST_SUITE_P(Networks, Quantized,
                         ::testing::Values(Named{"mlp", testing::mlp},
                                           Named{"residual", testing::residual},
                                           Named{"depthwise", testing::depthwise},
                                           Named{"concat", testing::concat}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(Quantized, StaysNearTheFloatNetwork) {
  const Graph g = GetParam().make();
  const Graph prepared = prepared_for_quantization(g);
  const Graph q = quantize(prepared, calibrated(prepared));
  EXPECT_EQ(violation(q), "");
  EXPECT_EQ(print(parse_graph(print(q))), print(q));
  const auto x = testing::random_inputs(g, 8, 100);
  EXPECT_LT(relative_error(interpret(q, x)[0], interpret(g, x)[0]), 0.06);
  // Every contraction reads integers.
  EXPECT_EQ(quantizable_layers(prepared).size(),
            size_t(count_of(prepared, "Conv") + count_of(prepared, "MatMul")));
  for (NodeId id : q.order()) {
    const std::string& op = q.node(id).room->op.name;
    if (op != "Conv" && op != "MatMul") continue;
    for (size_t slot : {0, 1})
      EXPECT_EQ(q.node(q.value(q.node(id).inputs[slot]).producer).room->op.name,
                "DequantizeLinear");
  }
}

TEST_P(Quantized, IntegerKernelsAgreeWithTheReference) {
  const Graph prepared = prepared_for_quantization(GetParam().make());
  const Graph q = quantize(prepared, calibrated(prepared));
  Model model(q);
  const auto x = testing::random_inputs(q, 8, 101);
  // A rounding that falls the other way moves one value by one step, not more.
  EXPECT_LT(relative_error(model.run(x)[0], interpret(q, x)[0]), 0.01);
}

TEST_P(Quantized, ExcludedLayersStayInFloat) {
  const Graph prepared = prepared_for_quantization(GetParam().make());
  const auto layers = quantizable_layers(prepared);
  const std::set<std::string> all(layers.begin(), layers.end());
  const Graph untouched = quantize(prepared, calibrated(prepared), all);
  EXPECT_EQ(count_of(untouched, "QuantizeLinear"), 0);
  EXPECT_EQ(print(untouched), print(prepared.compacted()));
  const Graph first_only = quantize(prepared, calibrated(prepared), {layers[0]});
  EXPECT_LT(count_of(first_only, "DequantizeLinear"),
            count_of(quantize(prepared, calibrated(prepared)), "DequantizeLinear"));
}

TEST_P(Quantized, SensitivityRanksAllLayers) {
  const Graph prepared = prepared_for_quantization(GetParam().make());
  const auto errors = sensitivity(prepared, calibrated(prepared), samples_of(prepared, 1));
  ASSERT_EQ(errors.size(), quantizable_layers(prepared).size());
  for (size_t i = 1; i < errors.size(); ++i)
    EXPECT_GE(errors[i - 1].relative_error, errors[i].relative_error);
  EXPECT_GT(errors[0].relative_error, 0);
  EXPECT_LT(errors[0].relative_error, 0.1);
}

TEST_P(Quantized, Bf16StaysNearTheFloatNetwork) {
  const Graph g = prepared_for_quantization(GetParam().make());
  const Graph narrow = to_bf16(g);
  EXPECT_EQ(violation(narrow), "");
  EXPECT_EQ(narrow.value(narrow.outputs()[0]).tensor().dtype, DType::f32);
  EXPECT_EQ(narrow.value(narrow.inputs()[0]).tensor().dtype, DType::f32);
  const auto x = testing::random_inputs(g, 4, 102);
  const double error = relative_error(interpret(narrow, x)[0], interpret(g, x)[0]);
  EXPECT_LT(error, 0.03);
  EXPECT_GT(error, 1e-6);
}

TEST(Quantize, ScalesOfAHandMadeCase) {
  Graph g;
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(2)}));
  const ValueId w = g.add_constant("w", Tensor::from<float>({2, 2}, {1.27f, -0.5f, 0.0f, 0.254f}),
                                   Role::kParameter);
  const ValueId c = g.add_constant("c", Tensor::from<float>({2}, {1.0f, -0.25f}), Role::kParameter);
  const ValueId h = b.op("Gemm", {x, w, c}, {{"transB", int64_t{1}}}, "", {"h"}).at(0);
  const ValueId r = b.op("Relu", {h}, {}, "", {"r"}).at(0);
  g.add_output(b.op("Gemm", {r, w}, {}, "", {"y"}).at(0));
  const Ranges ranges = {{"x", {-2.54, 2.54}}, {"h", {-3, 3}}, {"r", {0, 5.1}}, {"y", {-9, 9}}};
  EXPECT_THAT(quantizable_layers(g), ElementsAre("h", "y"));
  const Graph q = quantize(g, ranges);

  EXPECT_FLOAT_EQ(float(constant(q, "x_scale").at(0)), 0.02f);
  EXPECT_EQ(constant(q, "x_zero_point").dtype(), DType::i8);
  EXPECT_FLOAT_EQ(float(constant(q, "r_scale").at(0)), 0.02f);
  EXPECT_EQ(constant(q, "r_zero_point").dtype(), DType::u8);
  EXPECT_EQ(constant(q, "r_zero_point").at(0), 0);
  // What lies inside a line is not stored, and the result is left in float.
  EXPECT_EQ(q.find("h_scale"), kNoValue);
  EXPECT_EQ(q.find("y_scale"), kNoValue);
  EXPECT_EQ(count_of(q, "QuantizeLinear"), 2);
  // One scale per row where rows are the results, per column where columns are.
  const Tensor &rows = constant(q, "w_quantized"), &scales = constant(q, "w_scale");
  EXPECT_FLOAT_EQ(float(scales.at(0)), 0.01f);
  EXPECT_FLOAT_EQ(float(scales.at(1)), 0.002f);
  EXPECT_THAT(rows.to_i64(), ElementsAre(127, -50, 0, 127));
  EXPECT_THAT(constant(q, "c_quantized").to_i64(), ElementsAre(5000, -6250));
  EXPECT_EQ(constant(q, "c_quantized").dtype(), DType::i32);
  const Tensor& columns = constant(q, "w_quantized_0");
  EXPECT_THAT(columns.to_i64(), ElementsAre(127, -127, 0, 65));
}

// A folded batch norm leaves channels whose weights are next to nothing beside their bias.
TEST(Quantize, BiasesOfSilentChannelsSurvive) {
  Graph g;
  Builder b(g);
  const ValueId x =
      g.add_input("x", TensorType(DType::f32, Dims{Dim::symbol("N"), Dim(1), Dim(4), Dim(4)}));
  Tensor w(DType::f32, {2, 1, 1, 1}), bias(DType::f32, {2});
  w.mutable_data<float>()[0] = 1e-9f;
  w.mutable_data<float>()[1] = 0.5f;
  bias.mutable_data<float>()[0] = 0.3f;
  bias.mutable_data<float>()[1] = -0.2f;
  const ValueId y = b.op("Conv",
                         {x, g.add_constant("w", w, Role::kParameter),
                          g.add_constant("bias", bias, Role::kParameter)},
                         {}, "", {"y"})
                        .at(0);
  g.add_output(y);
  const Graph prepared = prepared_for_quantization(g);
  const Graph q = quantize(prepared, calibrated(prepared));
  const auto inputs = testing::random_inputs(prepared, 2, 3);
  const Tensor want = interpret(prepared, inputs)[0], got = interpret(q, inputs)[0];
  for (int64_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got.at(i), want.at(i), 0.02);
}

TEST(Quantize, PoolingSharesItsOperandsScale) {
  const Graph prepared = prepared_for_quantization(testing::concat());
  const Graph q = quantize(prepared, calibrated(prepared));
  int shared = 0;
  const auto users = q.users();
  for (NodeId id : q.order()) {
    if (q.node(id).room->op.name != "MaxPool") continue;
    const Node& before = q.node(q.value(q.node(id).inputs[0]).producer);
    for (NodeId reader : users[size_t(q.node(id).outputs[0])]) {
      EXPECT_EQ(q.node(reader).room->op.name, "QuantizeLinear");
      EXPECT_EQ(q.value(q.node(reader).inputs[1]).constant->at(0),
                q.value(before.inputs[1]).constant->at(0));
      ++shared;
    }
  }
  EXPECT_EQ(shared, 1);
}

TEST(Quantize, ResidualSumsLeaveTheirMainBranchUnstored) {
  const Graph prepared = prepared_for_quantization(testing::residual());
  const Graph q = quantize(prepared, calibrated(prepared));
  int sums = 0;
  for (NodeId id : q.order()) {
    const Node& n = q.node(id);
    if (n.room->op.name != "Add" || q.value(n.outputs[0]).tensor().rank() != 4) continue;
    ++sums;
    std::vector<std::string> operands;
    for (ValueId v : n.inputs) operands.push_back(q.node(q.value(v).producer).room->op.name);
    EXPECT_THAT(operands, ::testing::UnorderedElementsAre("Conv", "DequantizeLinear"));
  }
  EXPECT_EQ(sums, 2);
}

TEST(Quantize, APercentileIgnoresOutliers) {
  Graph g;
  Builder b(g);
  const ValueId x = g.add_input("x", TensorType(DType::f32, Shape{1, 10000}));
  g.add_output(b.one("Relu", {x}));
  Tensor data = testing::random_tensor({1, 10000}, "outlier");
  data.mutable_data<float>()[17] = 1000;
  Calibrator all(g, RangeMethod::kMinMax), most(g, RangeMethod::kPercentile, 99.9);
  for (Calibrator* c : {&all, &most}) c->observe(std::vector<Tensor>{data});
  EXPECT_EQ(all.ranges().at("x").magnitude, 1000);
  EXPECT_LT(most.ranges().at("x").magnitude, 1.3);
  EXPECT_GT(most.ranges().at("x").magnitude, 0.9);
  EXPECT_FALSE(most.ranges().at("x").non_negative());
}

TEST(Quantize, BadCalibrationIsOneClearError) {
  const Graph g = prepared_for_quantization(testing::mlp());
  Calibrator c(g, RangeMethod::kMinMax);
  EXPECT_THROW(c.ranges(), UserError);
  Tensor bad = testing::random_tensor({2, 12}, "bad");
  bad.mutable_data<float>()[3] = std::numeric_limits<float>::quiet_NaN();
  try {
    c.observe(std::vector<Tensor>{bad});
    FAIL();
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), HasSubstr("calibration batch 0"));
    EXPECT_THAT(e.what(), HasSubstr("'x' holds NaN"));
  }
  try {
    quantize(g, {});
    FAIL();
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), HasSubstr("was not calibrated"));
  }
  try {
    quantize(g, calibrated(g), {"nonsense"});
    FAIL();
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), HasSubstr("layer 'nonsense'"));
  }
  EXPECT_THROW(range_method("entropy"), UserError);
  EXPECT_THROW(Calibrator(g, RangeMethod::kPercentile, 0), UserError);
}

TEST(Quantize, RangesOfNothingAreRepresentable) {
  Graph g = testing::mlp();
  g.mutable_value(g.find("fc1.weight")).constant = Tensor(DType::f32, {12, 16});
  g.mutable_value(g.find("fc1.bias")).constant = Tensor(DType::f32, {16});
  const Graph prepared = prepared_for_quantization(g);
  const Graph q = quantize(prepared, calibrated(prepared));
  const auto x = testing::random_inputs(g, 2, 5);
  EXPECT_LT(testing::largest_difference(interpret(q, x)[0], interpret(g, x)[0]), 0.02);
}

// ---- samples for several inputs -----------------------------------------------------------------

Graph gathered() {
  return parse_graph(R"(graph "g"(%table: f32[N,4], %rows: i64[N]) -> (%y) {
  %y: f32[N,4] = Gather(%table, %rows) {axis = 0}
}
)");
}

TEST(CalibrationBatches, TakeAnArrayForEachInput) {
  Tensor table(DType::f32, {64, 4}), rows(DType::i64, {64});
  for (int64_t i = 0; i < table.size(); ++i) table.mutable_data<float>()[i] = float(i);
  const std::vector<NamedTensor> arrays = {{"rows", rows}, {"table", table}, {"more", rows}};
  const auto batches = calibration_batches(gathered(), arrays, 40, "a.npz");
  ASSERT_EQ(batches.size(), 8u);
  EXPECT_EQ(batches[1][0].shape(), (Shape{5, 4}));
  EXPECT_EQ(batches[1][0].at(0), 20);
  EXPECT_EQ(batches[1][1].shape(), (Shape{5}));
}

TEST(CalibrationBatches, AreAsLargeAsWhatSamplesMakeFitsInMemory) {
  const Graph outer = parse_graph(R"(graph "g"(%x: f32[N,4096,1]) -> (%y) {
  %t: f32[N,1,4096] = Transpose(%x) {perm = [0, 2, 1]}
  %y: f32[N,4096,4096] = MatMul(%x, %t)
}
)");
  const std::vector<NamedTensor> arrays = {{"x", Tensor(DType::f32, {300, 4096, 1})}};
  const auto batches = calibration_batches(outer, arrays, 300, "a.npz");
  EXPECT_EQ(batches.size(), 100u) << "64 MB a sample, 256 together";
  EXPECT_EQ(batches[0][0].shape(), (Shape{3, 4096, 1}));
}

TEST(CalibrationBatches, SayWhichArrayIsMissingOrDoesNotFit) {
  const Tensor table(DType::f32, {8, 4}), narrow(DType::f32, {8, 3}), rows(DType::i64, {8});
  const auto message = [](const std::vector<NamedTensor>& arrays) -> std::string {
    try {
      calibration_batches(gathered(), arrays, 8, "a.npz");
    } catch (const UserError& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_THAT(message({{"table", table}}), HasSubstr("no array named 'rows'"));
  EXPECT_THAT(message({{"table", narrow}, {"rows", rows}}), HasSubstr("'table'"));
  EXPECT_THAT(message({{"table", Tensor(DType::f32, {})}, {"rows", rows}}),
              HasSubstr("is one number"));
  EXPECT_THAT(message({{"table", Tensor(DType::f32, {0, 4})}, {"rows", rows}}),
              HasSubstr("too few samples"));
}

}  // namespace
}  // namespace espalier

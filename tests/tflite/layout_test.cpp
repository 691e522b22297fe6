// Imported graphs are as a channels-first exporter would have written them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "ir/interpret.h"
#include "ir/room.h"
#include "tests/support/run_op.h"
#include "tests/tflite/models.h"
#include "tflite/import.h"

namespace espalier {
namespace {

using testing::count;
using ::testing::HasSubstr;
using testing::operators_of;
using testing::TfModel;

constexpr int8_t kSame = 0, kValid = 1;

Tensor ones(const Shape& shape) {
  Tensor t(DType::f32, shape);
  for (int64_t i = 0; i < t.size(); ++i) t.mutable_data<float>()[i] = 1;
  return t;
}

/// Convolution, sum, padded convolution, mean, product: a small residual network.
TfModel network(std::vector<int32_t> signature = {}) {
  TfModel m;
  const int32_t x =
      m.input({"x", testing::kF32, {1, 8, 8, 3}, {}, {}, {}, 0, std::move(signature)});
  const int32_t a = m.op(3, {x, m.constant("w1", ones({4, 3, 3, 3})), m.constant("b1", ones({4}))},
                         {"a", testing::kF32, {1, 8, 8, 4}}, {kSame, 1, 1, int8_t{1}});
  const int32_t b = m.op(3, {a, m.constant("w2", ones({4, 1, 1, 4})), -1},
                         {"b", testing::kF32, {1, 8, 8, 4}}, {kSame, 1, 1});
  const int32_t c = m.op(0, {a, b}, {"c", testing::kF32, {1, 8, 8, 4}}, {int8_t{1}});
  const int32_t pads = m.constant("pads", Tensor::from<int32_t>({4, 2}, {0, 0, 0, 1, 0, 1, 0, 0}));
  const int32_t d = m.op(34, {c, pads}, {"d", testing::kF32, {1, 9, 9, 4}});
  const int32_t e = m.op(4, {d, m.constant("w3", ones({1, 3, 3, 4})), m.constant("b3", ones({4}))},
                         {"e", testing::kF32, {1, 4, 4, 4}}, {kValid, 2, 2, 1, int8_t{3}});
  const int32_t f = m.op(40, {e, m.ints({1, 2})}, {"f", testing::kF32, {1, 4}});
  m.output(m.op(9, {f, m.constant("w4", ones({5, 4})), -1}, {"y", testing::kF32, {1, 5}}));
  return m;
}

TEST(TfliteLayout, OneTransposeAtTheEdgeAndNoneInside) {
  const Graph g = network().import();
  EXPECT_EQ(operators_of(g),
            "Transpose Conv Relu Conv Add Relu Conv Clip GlobalAveragePool Squeeze Gemm");
  EXPECT_EQ(g.value(g.inputs()[0]).name, "x");
  EXPECT_EQ(to_string(g.value(g.inputs()[0]).type), "f32[1,8,8,3]");
  EXPECT_EQ(g.value(g.outputs()[0]).name, "y");
}

TEST(TfliteLayout, PaddingJoinsTheConvolutionThatReadsIt) {
  const Graph g = network().import();
  for (NodeId id : g.order()) {
    const AttributeMap a = g.node(id).room->print(g.node(id).attrs, true);
    if (!a.contains("group") || std::get<int64_t>(a.at("group")) != 4) continue;
    EXPECT_EQ(std::get<std::vector<int64_t>>(a.at("pads")), (std::vector<int64_t>{0, 0, 1, 1}));
    return;
  }
  FAIL() << "there is no depthwise convolution";
}

TEST(TfliteLayout, PaddingThatSomethingElseReadsIsMade) {
  TfModel m;
  const int32_t x = m.input({"x", testing::kF32, {1, 2, 2, 1}});
  const int32_t pads = m.constant("pads", Tensor::from<int32_t>({4, 2}, {0, 0, 1, 0, 0, 1, 0, 0}));
  const int32_t d = m.op(34, {x, pads}, {"d", testing::kF32, {1, 3, 3, 1}});
  const int32_t e = m.op(3, {d, m.constant("w", ones({1, 1, 1, 1})), -1},
                         {"e", testing::kF32, {1, 3, 3, 1}}, {kValid, 1, 1});
  m.output(d).output(e);
  const auto y = m.run({Tensor::from<float>({1, 2, 2, 1}, {1, 2, 3, 4})});
  const Tensor want = Tensor::from<float>({1, 3, 3, 1}, {0, 0, 0, 1, 2, 0, 3, 4, 0});
  EXPECT_TRUE(y[0].identical(want));
  EXPECT_TRUE(y[1].identical(want));
}

TEST(TfliteLayout, TransposesOfTheFileCancelWithOurs) {
  TfModel m;
  const int32_t x = m.input({"x", testing::kF32, {1, 3, 4, 4}});  // channels first by itself
  const int32_t in = m.op(39, {x, m.ints({0, 2, 3, 1})}, {"in", testing::kF32, {1, 4, 4, 3}});
  const int32_t c = m.op(3, {in, m.constant("w", ones({2, 3, 3, 3})), -1},
                         {"c", testing::kF32, {1, 4, 4, 2}}, {kSame, 1, 1});
  m.output(m.op(39, {c, m.ints({0, 3, 1, 2})}, {"y", testing::kF32, {1, 2, 4, 4}}));
  const Graph g = m.import();
  EXPECT_EQ(count(g, "Transpose"), 0) << operators_of(g);
  EXPECT_EQ(g.value(g.outputs()[0]).tensor().shape(), (Shape{1, 2, 4, 4}));
}

TEST(TfliteLayout, FlatteningFollowsTheFilesOrder) {
  TfModel m;
  const int32_t x = m.input({"x", testing::kF32, {1, 2, 2, 3}});
  const Tensor same = Tensor::from<float>({3, 1, 1, 3}, {1, 0, 0, 0, 1, 0, 0, 0, 1});
  const int32_t c =
      m.op(3, {x, m.constant("w", same), -1}, {"c", testing::kF32, {1, 2, 2, 3}}, {kSame, 1, 1});
  m.output(m.op(22, {c, m.ints({1, 12})}, {"y", testing::kF32, {1, 12}}));
  Tensor data(DType::f32, {1, 2, 2, 3});
  for (int64_t i = 0; i < 12; ++i) data.mutable_data<float>()[i] = float(i);
  EXPECT_TRUE(m.run({data})[0].identical(data.reshaped({1, 12})));
}

TEST(TfliteLayout, TheBatchIsOpenWhereTheFileSaysSo) {
  const Graph g = network({-1, 8, 8, 3}).import();
  EXPECT_EQ(to_string(g.value(g.inputs()[0]).type), "f32[N,8,8,3]");
  EXPECT_EQ(to_string(g.value(g.outputs()[0]).type), "f32[N,5]");
  Tensor x = ones({3, 8, 8, 3});
  EXPECT_EQ(interpret(g, std::vector<Tensor>{x})[0].shape(), (Shape{3, 5}));
}

TEST(TfliteLayout, ABatchWrittenIntoAShapeStaysFixed) {
  TfModel m;
  const int32_t x = m.input({"x", testing::kF32, {1, 2, 2}, {}, {}, {}, 0, {-1, 2, 2}});
  m.output(m.op(22, {x, m.ints({1, 4})}, {"y", testing::kF32, {1, 4}, {}, {}, {}, 0, {-1, 4}}));
  EXPECT_EQ(to_string(m.import().value(m.import().inputs()[0]).type), "f32[1,2,2]");
}

TEST(TfliteLayout, ShapesCanBeGiven) {
  const std::string bytes = network().bytes();
  const Graph g = import_tflite_bytes(bytes, "net.tflite", {.shapes = {{"x", {2, 16, 16, 3}}}});
  EXPECT_EQ(g.value(g.outputs()[0]).tensor().shape(), (Shape{2, 5}));
  EXPECT_THAT(testing::user_error([&] {
                import_tflite_bytes(bytes, "net.tflite", {.shapes = {{"z", {1}}}});
              }),
              HasSubstr("net.tflite: has no input named 'z'"));
}

TEST(TfliteLayout, WeightsAreParameters) {
  const Graph g = network().import();
  int parameters = 0;
  for (ValueId v : g.constants()) parameters += g.value(v).role == Role::kParameter ? 1 : 0;
  EXPECT_EQ(parameters, 6);
  EXPECT_EQ(g.value(g.find("w3")).tensor().shape(), (Shape{4, 1, 3, 3}));
}

TEST(TfliteLayout, SixteenBitWeightsAreWidened) {
  for (const bool by_operator : {false, true}) {
    TfModel m;
    const int32_t x = m.input({"x", testing::kF32, {1, 2}});
    int32_t w = m.constant("w", Tensor::from<float>({2, 2}, {1, 2, 3, 0.5f}).cast(DType::f16));
    if (by_operator) w = m.op(6, {w}, {"wide", testing::kF32, {2, 2}});
    m.output(m.op(9, {x, w, -1}, {"y", testing::kF32, {1, 2}}));
    const Graph g = m.import();
    EXPECT_EQ(operators_of(g), "Gemm");
    const Tensor y = m.run({Tensor::from<float>({1, 2}, {1, 1})})[0];
    EXPECT_EQ(y.at(0), 3);
    EXPECT_EQ(y.at(1), 3.5);
  }
}

}  // namespace
}  // namespace espalier

// Every change of version means what it meant in its opset. What opset 6 changes the conformance
// cases of pytorch-converted cover; here stand the others. What opsets 18 to 21 brought stands in
// tests/peer too, beside ONNX Runtime's answers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "ir/registry.h"
#include "tests/onnx/spelling.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using namespace testing;  // NOLINT(google-build-using-namespace)

TEST(Adapt, AttributesThatBecameOperands) {
  expect_same("Clip", {5}, {6, {{"min", -1.0f}, {"max", 2.0f}}}, {13, {}, {number(-1), number(2)}});
  expect_same("Squeeze", {1, 3, 1}, {11, {{"axes", Ints{0}}}}, {13, {}, {list({0})}});
  expect_same("Unsqueeze", {3}, {11, {{"axes", Ints{0, 2}}}}, {13, {}, {list({0, 2})}});
  expect_same("ReduceSum", {2, 3}, {11, {{"axes", Ints{1}}, {"keepdims", int64_t{0}}}},
              {13, {{"keepdims", int64_t{0}}}, {list({1})}});
  expect_same("Slice", {4, 5}, {9, {{"starts", Ints{1, 0}}, {"ends", Ints{3, -1}}}},
              {13, {}, {list({1, 0}), list({3, -1})}});
  expect_same("Reshape", {2, 3}, {1, {{"shape", Ints{3, 2}}}}, {14, {}, {list({3, 2})}});
  expect_same("Pad", {2, 2}, {10, {{"pads", Ints{1, 0, 0, 1}}, {"value", 5.0f}}},
              {13, {}, {list({1, 0, 0, 1}), number(5)}});
  expect_same("Dropout", {4}, {10, {{"ratio", 0.3f}}}, {13, {}, {number(0.3f)}});
}

TEST(Adapt, OperandsThatWereAttributes) {
  expect_same("ReduceMean", {2, 3, 2}, {18, {}, {list({0, 2})}}, {13, {{"axes", Ints{0, 2}}}});
  expect_same("ReduceMax", {2, 3}, {18, {{"keepdims", int64_t{0}}}, {list({})}},
              {13, {{"keepdims", int64_t{0}}}});
  // No axes may mean none at all.
  const Tensor x = counting({2, 3});
  const Tensor y =
      result(model_of("ReduceMean", {18, {{"noop_with_empty_axes", int64_t{1}}}}, {2, 3}), x);
  EXPECT_TRUE(y.identical(x));
}

TEST(Adapt, SoftmaxOfOldMeantRowsOfAMatrix) {
  const Tensor x = counting({2, 3, 2});
  for (const char* op : {"Softmax", "LogSoftmax"}) {
    // Rows of 6 from axis 1 on.
    const Tensor got = result(model_of(op, {11}, {2, 3, 2}), x);
    EXPECT_EQ(got.shape(), (Shape{2, 3, 2}));
    const Tensor want = result(model_of(op, {13}, {2, 6}), x.reshaped({2, 6}));
    EXPECT_LE(testing::mismatch(got.reshaped({2, 6}), want, 1e-6, 1e-6), 1) << op;
    // The last axis, and one before trailing extents of 1, are the same in all opsets.
    const OnnxModel last = model_of(op, {11, {{"axis", int64_t{2}}}}, {2, 3, 2});
    EXPECT_EQ(last.import().order().size(), 1u);
    expect_same(op, {2, 3, 1, 1}, {11, {{"axis", int64_t{1}}}}, {13, {{"axis", int64_t{1}}}});
  }
}

TEST(Adapt, SoftmaxOfOpenExtentsKeepsThem) {
  OnnxModel m = model_of("Softmax", {9}, {2, 3, 2});
  m.graph()
      .mutable_input(0)
      ->mutable_type()
      ->mutable_tensor_type()
      ->mutable_shape()
      ->mutable_dim(0)
      ->set_dim_param("N");
  EXPECT_EQ(result(m, counting({5, 3, 2})).shape(), (Shape{5, 3, 2}));
}

TEST(Adapt, SplitsWithoutSizesAreEqualOrCeiled) {
  const auto split = [](int64_t opset, const AttributeMap& attributes, int64_t extent, int parts) {
    OnnxModel m(opset);
    m.input("x", {extent});
    std::vector<std::string> names;
    for (int i = 0; i < parts; ++i) {
      names.push_back("y" + std::to_string(i));
      m.output(names.back());
    }
    m.node("Split", {"x"}, names, attributes);
    std::vector<int64_t> sizes;
    for (const Tensor& t : interpret(m.import(), std::vector<Tensor>{counting({extent})}))
      sizes.push_back(t.size());
    return sizes;
  };
  EXPECT_EQ(split(2, {{"split", Ints{1, 5}}}, 6, 2), (Ints{1, 5}));
  EXPECT_EQ(split(13, {}, 6, 3), (Ints{2, 2, 2}));
  EXPECT_EQ(split(18, {{"num_outputs", int64_t{3}}}, 7, 3), (Ints{3, 3, 1}));
  EXPECT_THROW(split(13, {}, 7, 3), UserError);
}

TEST(Adapt, BroadcastingOfOldNamedAnAxis) {
  OnnxModel m(6);
  m.input("x", {2, 3, 2}).constant("w", Tensor::from<float>({3}, {10, 20, 30}));
  m.node("Add", {"x", "w"}, {"y"}, {{"broadcast", int64_t{1}}, {"axis", int64_t{1}}}).output("y");
  const Graph g = m.import();
  const Tensor y = interpret(g, std::vector<Tensor>{Tensor(DType::f32, {2, 3, 2})}).at(0);
  EXPECT_EQ(y.at(0), 10);
  EXPECT_EQ(y.at(3), 20);
  EXPECT_EQ(y.at(11), 30);
  // The weight stays a direct operand, so that it can be trained.
  ASSERT_EQ(g.order().size(), 1u);
  EXPECT_EQ(g.value(g.node(g.order()[0]).inputs[1]).role, Role::kParameter);
}

TEST(Adapt, ScalesOfIntegerOperatorsAreNoWeights) {
  OnnxModel m;
  m.input("x", {3, 4}, onnx::TensorProto::UINT8).constant("w", Tensor(DType::i8, {4, 2}));
  m.constant("xs", Tensor::from<float>({1}, {0.5f})).constant("xz", Tensor(DType::u8, {1}));
  m.constant("ws", Tensor::from<float>({2}, {0.5f, 1})).constant("wz", Tensor(DType::i8, {2}));
  m.constant("ys", Tensor::from<float>({1}, {2})).constant("yz", Tensor(DType::u8, {1}));
  m.node("QLinearMatMul", {"x", "xs", "xz", "w", "ws", "wz", "ys", "yz"}, {"y"});
  const Graph g = m.output("y", onnx::TensorProto::UINT8).import();
  for (const char* name : {"xs", "ws", "ys"})
    EXPECT_EQ(g.value(g.find(name)).role, Role::kNone) << name;
}

TEST(Adapt, BatchNormalizationOfOld) {
  const auto model = [](int64_t opset, const AttributeMap& attributes, const Shape& statistics) {
    OnnxModel m(opset);
    m.input("x", {2, 3, 2});
    for (const char* name : {"scale", "bias", "mean", "var"}) {
      Tensor t = counting(statistics);
      for (int64_t i = 0; i < t.size(); ++i) t.mutable_data<float>()[i] += 3;
      m.constant(name, t);
    }
    return m.node("BatchNormalization", {"x", "scale", "bias", "mean", "var"}, {"y"}, attributes)
        .output("y");
  };
  const OnnxModel canonical = model(15, {}, {3});
  expect_same(model(6, {{"is_test", int64_t{1}}}, {3}), canonical, counting({2, 3, 2}));
  expect_same(model(8, {{"spatial", int64_t{1}}}, {3}), canonical, counting({2, 3, 2}));
  const Graph g = canonical.import();
  EXPECT_EQ(g.value(g.find("scale")).role, Role::kParameter);
  EXPECT_EQ(g.value(g.find("mean")).role, Role::kBuffer);
  // Statistics of every element.
  const Tensor x = counting({2, 3, 2});
  const Tensor y = result(model(7, {{"spatial", int64_t{0}}}, {3, 2}), x);
  const float s = float(4 % 7) - 2 + 3;  // element 4 of the statistics
  EXPECT_NEAR(y.at(4), (x.at(4) - s) / std::sqrt(s + 1e-5) * s + s, 1e-5);
}

TEST(Adapt, CastOfOldSpelledItsType) {
  OnnxModel m(5);
  m.input("x", {2}).node("Cast", {"x"}, {"y"}, {{"to", std::string("INT32")}}).output("y", 6);
  EXPECT_EQ(result(m, Tensor::from<float>({2}, {1.5f, -2})).int_at(0), 1);
  OnnxModel wrong(5);
  wrong.input("x", {2}).node("Cast", {"x"}, {"y"}, {{"to", std::string("INT33")}}).output("y", 6);
  EXPECT_THROW(wrong.import(), UserError);
}

TEST(Adapt, CastLikeTakesItsTypeFromAnOperand) {
  OnnxModel m(15);
  m.input("x", {2}).constant("like", Tensor::from<int64_t>({1}, {0}));
  m.node("CastLike", {"x", "like"}, {"y"}).output("y", 7);
  EXPECT_EQ(result(m, Tensor::from<float>({2}, {3, 4})).int_at(1), 4);
}

TEST(Adapt, UpsampleAndTheFirstResize) {
  const Tensor x = Tensor::from<float>({1, 1, 1, 2}, {1, 2});
  OnnxModel attribute(7);
  attribute.input("x", {1, 1, 1, 2});
  attribute.node("Upsample", {"x"}, {"y"}, {{"scales", std::vector<float>{1, 1, 2, 2}}})
      .output("y");
  const Tensor y = result(attribute, x);
  EXPECT_EQ(y.shape(), (Shape{1, 1, 2, 4}));
  EXPECT_EQ(y.at(1), 1);
  EXPECT_EQ(y.at(2), 2);
  OnnxModel operand(10);
  operand.input("x", {1, 1, 1, 2}).constant("s", Tensor::from<float>({4}, {1, 1, 2, 2}));
  operand.node("Resize", {"x", "s"}, {"y"}).output("y");
  expect_same(operand, attribute, x);
}

TEST(Adapt, ShapeComputationsVanish) {
  OnnxModel m(13);
  m.input("x", {2, 3, 4}).constant("zero", Tensor::from<int64_t>({1}, {0}));
  m.constant("rest", Tensor::from<int64_t>({1}, {-1}));
  m.node("Shape", {"x"}, {"s"}).node("Gather", {"s", "zero"}, {"n"});
  m.node("Concat", {"n", "rest"}, {"target"}, {{"axis", int64_t{0}}});
  m.node("Reshape", {"x", "target"}, {"y"}).output("y");
  const Graph g = m.import();
  EXPECT_EQ(g.order().size(), 1u);
  EXPECT_EQ(to_string(g.value(g.outputs()[0]).type), "f32[2,12]");
}

TEST(Adapt, WeightsBehindConstantNodesAreParameters) {
  OnnxModel m(13);
  m.input("x", {1, 4}).constant("w", Tensor(DType::f32, {2, 2, 2}));
  m.constant("target", Tensor::from<int64_t>({2}, {4, 2}));
  m.node("Reshape", {"w", "target"}, {"matrix"});
  m.node("MatMul", {"x", "matrix"}, {"y"}).output("y");
  const Graph g = m.import();
  EXPECT_EQ(g.value(g.find("w")).role, Role::kParameter);
}

TEST(Adapt, TileOfOldRepeatedOneAxis) {
  const OnnxModel old = model_of(
      "Tile", {5, {}, {Tensor::from<float>({1}, {2}), Tensor::from<float>({1}, {1})}}, {2, 3});
  expect_same(old, model_of("Tile", {6, {}, {list({1, 2})}}, {2, 3}), counting({2, 3}));
  EXPECT_THROW(model_of("Tile", {5, {}, {number(2)}}, {2, 3}).import(), UserError);
}

TEST(Adapt, SeluOfOldHadRoundedDefaults) {
  const AttributeMap spelled = {{"alpha", 1.6732f}, {"gamma", 1.0507f}};
  expect_same("Selu", {7}, {5, {{"consumed_inputs", Ints{0}}}}, {6, spelled});
  const Tensor x = counting({7});
  EXPECT_FALSE(
      result(model_of("Selu", {5}, {7}), x).identical(result(model_of("Selu", {6}, {7}), x)));
}

TEST(Adapt, FlagsThatOpset6Carried) {
  const AttributeMap consumed = {{"consumed_inputs", Ints{0}}};
  for (const char* op : {"Relu", "Exp", "Sigmoid", "Tanh", "Neg", "Floor", "Elu", "LeakyRelu"})
    expect_same(op, {5}, {5, consumed}, {13});
  expect_same("Dropout", {4}, {6, {{"ratio", 0.4f}, {"is_test", int64_t{1}}}}, {13});
  expect_same("Concat", {2, 3}, {3, {}, {counting({2, 1})}},
              {13, {{"axis", int64_t{1}}}, {counting({2, 1})}});
  expect_same("Gemm", {2, 3},
              {6, {{"broadcast", int64_t{1}}, {"alpha", 0.5f}}, {counting({3, 2}), counting({2})}},
              {13, {{"alpha", 0.5f}}, {counting({3, 2}), counting({2})}});
  expect_same("PRelu", {1, 3, 2}, {6, {}, {counting({3})}}, {13, {}, {counting({3, 1})}});
  expect_same("Pad", {2, 2}, {1, {{"paddings", Ints{1, 0, 0, 1}}}}, {13, {}, {list({1, 0, 0, 1})}});
  expect_same("Sub", {2, 3},
              {6, {{"broadcast", int64_t{1}}, {"axis", int64_t{0}}}, {counting({2})}},
              {13, {}, {counting({2, 1})}});
}

TEST(Adapt, GroupsOfOldScaledTogether) {
  const AttributeMap two = {{"num_groups", int64_t{2}}};
  const Tensor scale = Tensor::from<float>({2}, {1, 2}), bias = Tensor::from<float>({2}, {0, 5});
  const Tensor all = Tensor::from<float>({4}, {1, 1, 2, 2});
  const Tensor shift = Tensor::from<float>({4}, {0, 0, 5, 5});
  expect_same("GroupNormalization", {2, 4, 3}, {18, two, {scale, bias}}, {21, two, {all, shift}});
  // The weight stays a direct operand.
  const Graph g = model_of("GroupNormalization", {18, two, {scale, bias}}, {2, 4, 3}).import();
  ASSERT_EQ(g.order().size(), 1u);
  EXPECT_EQ(g.value(g.node(g.order()[0]).inputs[1]).role, Role::kParameter);
  EXPECT_THROW(model_of("GroupNormalization", {18, two, {all, shift}}, {2, 4, 3}).import(),
               UserError);
}

TEST(Adapt, SpectraSamplesAndNormsOfOtherOpsets) {
  OnnxModel named(20);
  named.input("x", {2, 4, 3, 1}).constant("axis", Tensor::scalar<int64_t>(1));
  named.node("DFT", {"x", "", "axis"}, {"y"}).output("y");
  expect_same(named, model_of("DFT", {17}, {2, 4, 3, 1}), counting({2, 4, 3, 1}));
  expect_same("DFT", {2, 4, 3, 1}, {20}, {17, {{"axis", int64_t{2}}}});
  const Tensor grid = Tensor::from<float>({1, 1, 2, 2}, {0.1f, 0.3f, -0.9f, 1});
  for (const auto& [now, before] : {std::pair("linear", "bilinear"), std::pair("cubic", "bicubic")})
    expect_same("GridSample", {1, 2, 4, 3}, {20, {{"mode", std::string(now)}}, {grid}},
                {16, {{"mode", std::string(before)}}, {grid}});
  const Tensor rois = Tensor::from<float>({1, 4}, {0, 0, 2, 3}), batch = list({0});
  expect_same(
      "RoiAlign", {1, 2, 4, 3}, {10, {}, {rois, batch}},
      {16, {{"coordinate_transformation_mode", std::string("output_half_pixel")}}, {rois, batch}});
  const AttributeMap window = {{"kernel_shape", Ints{2}}};
  AttributeMap old = window;
  old["p"] = 2.0f;
  expect_same("LpPool", {1, 2, 5}, {1, old}, {11, window});
  expect_same("Hardmax", {2, 3, 2}, {11, {{"axis", int64_t{2}}}}, {13});
}

TEST(Adapt, NodesWithoutSeedDrawNumbersOfTheirOwn) {
  OnnxModel m(17);
  const AttributeMap shape = {{"shape", Ints{4}}};
  m.node("RandomNormal", {}, {"a"}, shape).node("RandomNormal", {}, {"b"}, shape);
  m.output("a").output("b");
  const auto first = interpret(m.import(), {}), again = interpret(m.import(), {});
  EXPECT_FALSE(first[0].identical(first[1]));
  EXPECT_TRUE(first[0].identical(again[0]));
}

TEST(Adapt, UnknownAxesAreRefusedByName) {
  OnnxModel m(18);
  m.input("x", {2, 3}).input("axes", {1}, onnx::TensorProto::INT64);
  m.node("ReduceMean", {"x", "axes"}, {"y"}, {}, "mean").output("y");
  try {
    m.import();
    FAIL();
  } catch (const UserError& e) {
    EXPECT_EQ(e.code(), ExitCode::kUnsupported);
    EXPECT_THAT(e.what(), HasSubstr("ReduceMean 'mean': the list of axes ('axes') is computed"));
  }
}

}  // namespace
}  // namespace espalier

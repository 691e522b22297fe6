// Every change of version means what it meant in its opset. What opset 6 changes the conformance
// cases of pytorch-converted cover; here stand the others. What opsets 18 to 21 brought stands in
// tests/peer too, beside ONNX Runtime's answers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "ir/interpret.h"
#include "ir/registry.h"
#include "tests/onnx/models.h"
#include "tests/support/samples.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using testing::OnnxModel;

using Ints = std::vector<int64_t>;

Tensor counting(Shape shape) {
  Tensor t(DType::f32, std::move(shape));
  for (int64_t i = 0; i < t.size(); ++i) t.mutable_data<float>()[i] = float(i % 7) - 2;
  return t;
}

/// The model's first result on `x`.
Tensor result(const OnnxModel& m, const Tensor& x) {
  return interpret(m.import(), std::vector<Tensor>{x}).at(0);
}

/// Two spellings of one node give the same; the first in an old or new opset, the second canonical.
void expect_same(const OnnxModel& a, const OnnxModel& b, const Tensor& x) {
  const Tensor got = result(a, x), want = result(b, x);
  EXPECT_EQ(got.shape(), want.shape());
  EXPECT_LE(testing::mismatch(got, want, 1e-6, 1e-6), 1);
}

struct Spelling {
  int64_t opset;
  AttributeMap attributes = {};
  std::vector<Tensor> operands = {};  ///< constants after x
};

OnnxModel model_of(const std::string& op, const Spelling& s, const Shape& shape) {
  OnnxModel m(s.opset);
  m.input("x", shape);
  std::vector<std::string> names = {"x"};
  for (size_t i = 0; i < s.operands.size(); ++i) {
    names.push_back("c" + std::to_string(i));
    m.constant(names.back(), s.operands[i]);
  }
  return m.node(op, names, {"y"}, s.attributes).output("y");
}

void expect_same(const std::string& op, const Shape& shape, const Spelling& a, const Spelling& b) {
  expect_same(model_of(op, a, shape), model_of(op, b, shape), counting(shape));
}

Tensor list(const Ints& v) { return Tensor::vector_i64(v); }
Tensor number(float v) { return Tensor::scalar(v); }

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
  if (!find_room("Resize")) GTEST_SKIP() << "no room";
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

TEST(Adapt, OperatorsThatOnnxTookBack) {
  const Tensor x = counting({1, 2, 3, 4});
  const auto of = [&](const std::string& op, const AttributeMap& a) {
    return result(model_of(op, {6, a}, {1, 2, 3, 4}), x);
  };
  const Tensor affine = of("Affine", {{"alpha", 2.0f}, {"beta", 3.0f}});
  const Tensor scale = of("Scale", {{"scale", 4.0f}});
  const Tensor tanh = of("ScaledTanh", {{"alpha", 2.0f}, {"beta", 0.5f}});
  const Tensor softplus = of("ParametricSoftplus", {{"alpha", 2.0f}, {"beta", 0.5f}});
  const Tensor images = of("ImageScaler", {{"scale", 2.0f}, {"bias", std::vector<float>{1, -1}}});
  for (int64_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(affine.at(i), 2 * x.at(i) + 3);
    EXPECT_EQ(scale.at(i), 4 * x.at(i));
    EXPECT_NEAR(tanh.at(i), 2 * std::tanh(x.at(i) / 2), 1e-6);
    EXPECT_NEAR(softplus.at(i), 2 * std::log1p(std::exp(x.at(i) / 2)), 1e-5);
    EXPECT_EQ(images.at(i), 2 * x.at(i) + (i < 12 ? 1 : -1));
  }
  // Left 1, top 0, right 2, bottom 1.
  const Tensor cropped = of("Crop", {{"border", Ints{1, 0, 2, 1}}});
  ASSERT_EQ(cropped.shape(), (Shape{1, 2, 2, 1}));
  EXPECT_EQ(cropped.at(1), x.at(5));
  const Tensor window = of("Crop", {{"border", Ints{1, 1, 0, 0}}, {"scale", Ints{2, 3}}});
  ASSERT_EQ(window.shape(), (Shape{1, 2, 2, 3}));
  EXPECT_EQ(window.at(0), x.at(5));
  // Later opsets do not know them.
  try {
    model_of("Affine", {10, {}}, {2}).import();
    FAIL();
  } catch (const UserError& e) {
    EXPECT_EQ(e.code(), ExitCode::kUnsupported);
    EXPECT_THAT(e.what(), HasSubstr("Affine"));
  }
  EXPECT_THROW(model_of("Crop", {6, {{"border", Ints{1, 2}}}}, {1, 2, 3, 4}).import(), UserError);
  EXPECT_THROW(model_of("Upsample", {10, {}, {counting({4})}}, {1, 1, 2, 2}).import(), UserError);
}

TEST(Adapt, GroupsOfOldHadTheirOwnScale) {
  const Tensor x = counting({2, 4, 3});
  const Tensor scale = Tensor::from<float>({2}, {2, 3}), bias = Tensor::from<float>({2}, {-1, 5});
  const OnnxModel old =
      model_of("GroupNormalization", {18, {{"num_groups", int64_t{2}}}, {scale, bias}}, {2, 4, 3});
  const Tensor y = result(old, x);
  // The second group of the second sample: channels 2 and 3.
  double mean = 0, var = 0;
  for (int i = 18; i < 24; ++i) mean += x.at(i) / 6;
  for (int i = 18; i < 24; ++i) var += (x.at(i) - mean) * (x.at(i) - mean) / 6;
  for (int i = 18; i < 24; ++i)
    EXPECT_NEAR(y.at(i), (x.at(i) - mean) / std::sqrt(var + 1e-5) * 3 + 5, 1e-5);
  const OnnxModel channels =
      model_of("GroupNormalization",
               {21,
                {{"num_groups", int64_t{2}}},
                {Tensor::from<float>({4}, {2, 2, 3, 3}), Tensor::from<float>({4}, {-1, -1, 5, 5})}},
               {2, 4, 3});
  expect_same(old, channels, x);
  EXPECT_THROW(
      model_of("GroupNormalization", {21, {{"num_groups", int64_t{3}}}, {scale, bias}}, {2, 4, 3})
          .import(),
      UserError);
  EXPECT_THROW(
      model_of("GroupNormalization", {21, {{"num_groups", int64_t{2}}}, {scale, bias}}, {2, 4, 3})
          .import(),
      UserError);
}

// 4-bit integers are kept in 8 and cut off where 4 bits end.
TEST(Adapt, FourBits) {
  OnnxModel m(21);
  m.input("x", {5}).constant("s", number(0.5f));
  m.four_bit("z", Tensor::scalar<int8_t>(1));
  m.node("QuantizeLinear", {"x", "s", "z"}, {"q"});
  m.node("Reshape", {"q", "to"}, {"r"}).constant("to", list({1, 5}));
  m.node("DequantizeLinear", {"r", "s", "z"}, {"y"}).output("y").output("r", 22);
  const Tensor x = Tensor::from<float>({5}, {-100, -1, 0.3f, 2.2f, 100});
  const auto got = interpret(m.import(), std::vector<Tensor>{x});
  EXPECT_EQ(got[1].dtype(), DType::i8);
  EXPECT_EQ(got[1].to_i64(), (Ints{-8, -1, 2, 5, 7}));
  EXPECT_EQ(got[0].at(0), -4.5);
  // A zero point that was moved on its way keeps its 4 bits.
  OnnxModel moved(21);
  moved.input("x", {5}).constant("s", number(0.5f)).constant("to", list({}));
  moved.four_bit("z1", Tensor::from<uint8_t>({1}, {3}));
  moved.node("Reshape", {"z1", "to"}, {"z"}).node("QuantizeLinear", {"x", "s", "z"}, {"y"});
  moved.output("y", 21);
  EXPECT_EQ(result(moved, x).to_i64(), (Ints{0, 1, 4, 7, 15}));
  // The type named by an attribute.
  const auto named = [&](int64_t type) {
    OnnxModel model(21);
    model.input("x", {5}).constant("s", number(0.5f));
    return model.node("QuantizeLinear", {"x", "s"}, {"y"}, {{"output_dtype", type}})
        .output("y", int32_t(type));
  };
  EXPECT_EQ(result(named(22), x).to_i64(), (Ints{-8, -2, 1, 4, 7}));
  EXPECT_EQ(result(named(21), x).to_i64(), (Ints{0, 0, 1, 4, 15}));
  EXPECT_EQ(result(named(3), x).to_i64(), (Ints{-128, -2, 1, 4, 127}));
  EXPECT_THROW(named(1).import(), UserError);
  EXPECT_THROW(named(17).import(), UserError);
}

TEST(Adapt, WhatLaterTypesHaveNoPlaceHere) {
  const auto refused = [](const OnnxModel& m, const std::string& text) {
    try {
      m.import();
      ADD_FAILURE() << "accepted: " << text;
    } catch (const UserError& e) {
      EXPECT_EQ(e.code(), ExitCode::kUnsupported) << e.what();
      EXPECT_THAT(e.what(), HasSubstr(text));
    }
  };
  OnnxModel eight(19);
  refused(eight.input("x", {2}, 17).node("Identity", {"x"}, {"y"}).output("y", 17),
          "'x': 8-bit floats are not supported");
  OnnxModel four(21);
  refused(four.input("x", {2}, 23).node("Identity", {"x"}, {"y"}).output("y", 23),
          "4-bit floats are not supported");
  OnnxModel cast(21);
  refused(cast.input("x", {2}).node("Cast", {"x"}, {"y"}, {{"to", int64_t{22}}}).output("y", 22),
          "casts to 4-bit integers");
  OnnxModel later(22);
  refused(later.input("x", {2}).node("Identity", {"x"}, {"y"}).output("y"),
          "is written in opset 22, opsets 1 to 21 are understood");
  OnnxModel decoder(20);
  refused(decoder.input("x", {2}, 2).node("ImageDecoder", {"x"}, {"y"}).output("y", 2),
          "ImageDecoder ('y'): images are decoded before the network");
  OnnxModel split(20);
  refused(split.input("x", {2}, 8).node("StringSplit", {"x"}, {"y"}).output("y", 8),
          "its result's extent depends on the text");
  OnnxModel expression(20);
  refused(expression.input("x", {2}, 8).node("RegexFullMatch", {"x"}, {"y"}).output("y", 9),
          "regular expressions are matched before the network");
}

TEST(Adapt, BlocksOfOneAxis) {
  // y[i][j] = (x[i][j] - z[i / 2][j]) s[i / 2][j]
  const Tensor x = testing::steps({5, 2}, 1, 0, 255, DType::u8);
  const Tensor s = testing::wave({3, 2}, 2), z = testing::steps({3, 2}, 3, 0, 255, DType::u8);
  OnnxModel m(21);
  m.input("x", {5, 2}, 2).constant("s", s).constant("z", z);
  m.node("DequantizeLinear", {"x", "s", "z"}, {"y"},
         {{"axis", int64_t{-2}}, {"block_size", int64_t{2}}});
  const Tensor y = result(m.output("y"), x);
  for (int64_t i = 0; i < 10; ++i) {
    const int64_t block = i / 4 * 2 + i % 2;
    EXPECT_NEAR(y.at(i), (x.at(i) - z.at(block)) * s.at(block), 1e-4);
  }
  OnnxModel wrong(21);
  wrong.input("x", {5, 2}, 2).constant("s", testing::wave({2, 2}, 2));
  wrong.node("DequantizeLinear", {"x", "s"}, {"y"},
             {{"axis", int64_t{0}}, {"block_size", int64_t{2}}});
  try {
    wrong.output("y").import();
    FAIL();
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), HasSubstr("are not one for each block of 2 along axis 0 of u8[5,2]"));
  }
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

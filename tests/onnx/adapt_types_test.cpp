// What opsets changed besides the form of operators: element types, blocks, operators that came and
// went.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/onnx/spelling.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using namespace testing;  // NOLINT(google-build-using-namespace)

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
  const Tensor x = steps({5, 2}, 1, 0, 255, DType::u8);
  const Tensor s = wave({3, 2}, 2), z = steps({3, 2}, 3, 0, 255, DType::u8);
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
  wrong.input("x", {5, 2}, 2).constant("s", wave({2, 2}, 2));
  wrong.node("DequantizeLinear", {"x", "s"}, {"y"},
             {{"axis", int64_t{0}}, {"block_size", int64_t{2}}});
  try {
    wrong.output("y").import();
    FAIL();
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), HasSubstr("are not one for each block of 2 along axis 0 of u8[5,2]"));
  }
}

}  // namespace
}  // namespace espalier

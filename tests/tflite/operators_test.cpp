// Operators that work element by element, move, pick and resample, against numbers by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/tflite/floats.h"

namespace espalier {
namespace {

using ::testing::ElementsAre;
using testing::extents;
using testing::kNone;
using testing::kRelu;
using testing::kRelu6;
using testing::kSame;
using testing::list;
using testing::Options;
using testing::random_tensor;
using testing::TfModel;
using testing::TfTensor;
using testing::values;

/// One operator on x, and what it gives for the values.
std::vector<float> applied(int code, const std::vector<float>& x, const Options& options = {}) {
  TfModel m;
  const auto n = int32_t(x.size());
  const int32_t in = m.input({"x", testing::kF32, {1, n}});
  m.output(m.op(code, {in}, {"y", testing::kF32, {1, n}}, options));
  return values(m.run({list(x).reshaped({1, n})}).at(0));
}

TEST(TfliteOperators, FunctionsOfOneElement) {
  const auto near = [](std::vector<float> want) {
    return ::testing::Pointwise(::testing::FloatNear(1e-5f), std::move(want));
  };
  EXPECT_THAT(applied(19, {-1, 2, 8}), near({0, 2, 8}));
  EXPECT_THAT(applied(20, {-3, 0.5, 8}), near({-1, 0.5, 1}));
  EXPECT_THAT(applied(21, {-1, 2, 8}), near({0, 2, 6}));
  EXPECT_THAT(applied(152, {-1, 0.5, 8}), near({0, 0.5, 1}));
  EXPECT_THAT(applied(14, {0}), near({0.5}));
  EXPECT_THAT(applied(28, {0.5}), near({std::tanh(0.5f)}));
  EXPECT_THAT(applied(76, {4}), near({0.5}));
  EXPECT_THAT(applied(92, {-3}), near({9}));
  EXPECT_THAT(applied(98, {-2, 2}, {0.25f}), near({-0.5, 2}));
  EXPECT_THAT(applied(117, {-4, 0, 1, 4}), near({0, 0, 4.0f / 6, 4}));
  EXPECT_THAT(applied(150, {1}), near({0.841345f}));
  EXPECT_THAT(applied(59, {-3, 1}), near({3, -1}));
  EXPECT_THAT(applied(111, {-1, 1}), near({std::expm1(-1.0f), 1}));
  EXPECT_THAT(applied(25, {0, std::log(3.0f)}, {1.0f}), near({0.25, 0.75}));
  EXPECT_THAT(applied(25, {0, std::log(3.0f) / 2}, {2.0f}), near({0.25, 0.75}));
  EXPECT_THAT(applied(50, {0, 0}), near({std::log(0.5f), std::log(0.5f)}));
  EXPECT_THAT(applied(11, {3, 4}, {kNone}), near({0.6f, 0.8f}));
  EXPECT_THAT(applied(11, {3e-5f, 4e-5f}, {kNone}), near({0.6f, 0.8f}));
  EXPECT_THAT(applied(11, {3e-8f, 4e-8f}, {kNone}), near({0.03f, 0.04f}));
}

/// a op b with both as inputs of these shapes.
Tensor combined(int code, const Tensor& a, const Tensor& b, int type = testing::kF32,
                const Options& options = {}, int32_t out_type = -1) {
  TfModel m;
  const int32_t x = m.input({"a", type, extents(a.shape())}),
                y = m.input({"b", type, extents(b.shape())});
  m.output(m.op(code, {x, y}, {"y", out_type < 0 ? type : out_type, extents(a.shape())}, options));
  return m.run({a, b}).at(0);
}

TEST(TfliteOperators, FunctionsOfTwoElements) {
  const Tensor a = list({-7, 8, 9}), b = list({2, 3, 9});
  EXPECT_THAT(values(combined(0, a, b, 0, {kRelu})), ElementsAre(0, 11, 18));
  EXPECT_THAT(values(combined(41, a, b, 0, {kRelu6})), ElementsAre(0, 5, 0));
  EXPECT_THAT(values(combined(18, a, b, 0, {kNone})), ElementsAre(-14, 24, 81));
  EXPECT_THAT(values(combined(42, a, b, 0, {kNone})), ElementsAre(-3.5, 8.0f / 3, 1));
  EXPECT_THAT(values(combined(90, a, b)), ElementsAre(-4, 2, 1));
  EXPECT_THAT(values(combined(95, a, b)), ElementsAre(1, 2, 0));
  EXPECT_THAT(values(combined(99, a, b)), ElementsAre(81, 25, 0));
  EXPECT_THAT(values(combined(55, a, b)), ElementsAre(2, 8, 9));
  EXPECT_THAT(values(combined(57, a, b)), ElementsAre(-7, 3, 9));
  EXPECT_THAT(values(combined(72, a, b, 0, {}, testing::kBool)), ElementsAre(1, 1, 0));
  EXPECT_THAT(values(combined(58, a, b, 0, {}, testing::kBool)), ElementsAre(1, 0, 0));
  const Tensor i = Tensor::from<int32_t>({2}, {-7, 7}), j = Tensor::from<int32_t>({2}, {2, -2});
  EXPECT_THAT(values(combined(90, i, j, testing::kI32)), ElementsAre(-4, -4));
  EXPECT_THAT(values(combined(95, i, j, testing::kI32)), ElementsAre(1, -1));
  EXPECT_THAT(values(combined(0, i, j, testing::kI32, {kRelu})), ElementsAre(0, 5));
}

TEST(TfliteOperators, OperandsOfFewerAxesBroadcastToChannelsFirstPictures) {
  // The picture is held channels-first behind the convolution; what is added is [C], [W, C], [1].
  for (const Shape& shape : {Shape{2}, Shape{3, 2}, Shape{1, 1, 1, 2}, Shape{1}, Shape{}}) {
    for (const bool constant : {false, true}) {
      TfModel m;
      const Tensor x = random_tensor({1, 2, 3, 2}, 1), other = random_tensor(shape, 2);
      const Tensor one = Tensor::from<float>({2, 1, 1, 2}, {1, 0, 0, 1});
      const int32_t in = m.input({"x", testing::kF32, {1, 2, 3, 2}});
      const int32_t same = m.op(3, {in, m.constant("w", one), -1},
                                {"c", testing::kF32, {1, 2, 3, 2}}, {kSame, 1, 1});
      const int32_t o =
          constant ? m.constant("o", other) : m.input({"o", testing::kF32, extents(shape)});
      m.output(m.op(0, {same, o}, {"y", testing::kF32, {1, 2, 3, 2}}, {kNone}));
      std::vector<Tensor> inputs = {x};
      if (!constant) inputs.push_back(other);
      const Tensor y = m.run(inputs).at(0);
      for (int64_t i = 0; i < 12; ++i) {
        const int64_t at = other.size() == 1 ? 0 : other.size() == 2 ? i % 2 : i % 6;
        ASSERT_NEAR(y.at(i), x.at(i) + other.at(at), 1e-5) << to_string(shape);
      }
    }
  }
}

TEST(TfliteOperators, ShapesAndPieces) {
  TfModel m;
  const int32_t x = m.input({"x", testing::kF32, {2, 3, 4}});
  const auto f32 = [](const char* name, std::vector<int32_t> shape) {
    return TfTensor{name, testing::kF32, std::move(shape)};
  };
  // x[1, ::-1, 1:3]
  m.output(m.op(45, {x, m.ints({1, 0, 1}), m.ints({2, 0, 3}), m.ints({1, -1, 1})},
                f32("strided", {3, 2}),
                {int32_t{2}, int32_t{2}, int32_t{0}, int32_t{0}, int32_t{1}}));
  m.output(m.op(65, {x, m.ints({0, 1, 2}), m.ints({1, -1, 2})}, f32("slice", {1, 2, 2})));
  m.output(m.op(39, {x, m.ints({2, 0, 1})}, f32("transposed", {4, 2, 3})));
  m.output(m.op(22, {x, m.ints({4, -1})}, f32("reshaped", {4, 6})));
  m.output(m.op(34, {x, m.ints({0, 0, 1, 0, 0, 0})}, f32("padded", {2, 4, 4})));
  m.output(m.op(105, {x, m.ints({0})}, f32("reversed", {2, 3, 4})));
  m.output(m.op(70, {x, m.ints({-1})}, f32("expanded", {2, 3, 4, 1})));
  m.output(m.op(40, {x, m.ints({1, -1})}, f32("mean", {2}), {int8_t{0}}));
  m.output(m.op(82, {x, m.ints({0})}, f32("most", {1, 3, 4}), {int8_t{1}}));
  m.output(m.op(36, {x, m.ints({2, 0})}, f32("gathered", {2, 2, 4}), {int32_t{1}}));
  m.output(m.op(83, {x, x}, f32("packed", {2, 2, 3, 4}), {int32_t{2}, int32_t{1}}));
  m.output(m.op(2, {x, x}, f32("joined", {2, 3, 8}), {int32_t{-1}, kNone}));
  Tensor data(DType::f32, {2, 3, 4});
  for (int64_t i = 0; i < 24; ++i) data.mutable_data<float>()[i] = float(i);
  const auto y = m.run({data});
  EXPECT_THAT(values(y[0]), ElementsAre(21, 22, 17, 18, 13, 14));
  EXPECT_EQ(y[0].shape(), (Shape{3, 2}));
  EXPECT_THAT(values(y[1]), ElementsAre(6, 7, 10, 11));
  EXPECT_EQ(y[2].shape(), (Shape{4, 2, 3}));
  EXPECT_EQ(y[2].at(1), 4);
  EXPECT_EQ(y[3].shape(), (Shape{4, 6}));
  EXPECT_EQ(y[4].shape(), (Shape{2, 4, 4}));
  EXPECT_EQ(y[4].at(0), 0);
  EXPECT_EQ(y[4].at(4), 0);
  EXPECT_EQ(y[5].at(0), 12);
  EXPECT_EQ(y[6].shape(), (Shape{2, 3, 4, 1}));
  EXPECT_THAT(values(y[7]), ElementsAre(5.5, 17.5));
  EXPECT_EQ(y[8].shape(), (Shape{1, 3, 4}));
  EXPECT_EQ(y[9].at(0), 8);
  EXPECT_EQ(y[10].shape(), (Shape{2, 2, 3, 4}));
  EXPECT_EQ(y[10].at(12), 0);
  EXPECT_EQ(y[11].at(4), 0);
}

TEST(TfliteOperators, SplitsAndUnpacks) {
  TfModel m;
  const int32_t x = m.input({"x", testing::kF32, {2, 4}});
  const auto results = [&](int code, std::vector<int32_t> inputs, std::vector<TfTensor> out,
                           Options options) {
    std::vector<int32_t> ys;
    for (TfTensor& t : out) ys.push_back(m.tensor(std::move(t)));
    m.op({code, std::move(inputs), ys, std::move(options), {}});
    for (int32_t y : ys) m.output(y);
  };
  const auto t = [](const char* name, std::vector<int32_t> shape) {
    return TfTensor{name, testing::kF32, std::move(shape)};
  };
  const Tensor one = Tensor::scalar<int32_t>(1);
  results(49, {m.constant("axis", one), x}, {t("a", {2, 2}), t("b", {2, 2})}, {int32_t{2}});
  results(102, {x, m.ints({1, -1}), m.constant("axis", one)}, {t("c", {2, 1}), t("d", {2, 3})},
          {int32_t{2}});
  results(88, {x}, {t("e", {4}), t("f", {4})}, {int32_t{2}, int32_t{0}});
  const auto y = m.run({Tensor::from<float>({2, 4}, {0, 1, 2, 3, 4, 5, 6, 7})});
  EXPECT_THAT(values(y[0]), ElementsAre(0, 1, 4, 5));
  EXPECT_THAT(values(y[1]), ElementsAre(2, 3, 6, 7));
  EXPECT_THAT(values(y[2]), ElementsAre(0, 4));
  EXPECT_THAT(values(y[3]), ElementsAre(1, 2, 3, 5, 6, 7));
  EXPECT_THAT(values(y[4]), ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(y[5].shape(), (Shape{4}));
}

TEST(TfliteOperators, BlocksOfPixelsKeepTheOrderOfTensorFlow) {
  // depth_to_space([[[[1, 2, 3, 4]]]], 2) = [[[[1], [2]], [[3], [4]]]]
  TfModel m;
  const int32_t x = m.input({"x", testing::kF32, {1, 1, 1, 4}});
  const int32_t y = m.op(5, {x}, {"y", testing::kF32, {1, 2, 2, 1}}, {int32_t{2}});
  m.output(y).output(m.op(26, {y}, {"z", testing::kF32, {1, 1, 1, 4}}, {int32_t{2}}));
  const auto out = m.run({Tensor::from<float>({1, 1, 1, 4}, {1, 2, 3, 4})});
  EXPECT_THAT(values(out[0]), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(out[0].shape(), (Shape{1, 2, 2, 1}));
  EXPECT_THAT(values(out[1]), ElementsAre(1, 2, 3, 4));
}

TEST(TfliteOperators, BatchesOfBlocksAndBack) {
  TfModel m;
  const int32_t x = m.input({"x", testing::kF32, {1, 3, 4, 1}});
  const int32_t pads = m.constant("pads", Tensor::from<int32_t>({2, 2}, {0, 1, 0, 0}));
  const int32_t block = m.ints({2, 2});
  const int32_t y = m.op(38, {x, block, pads}, {"y", testing::kF32, {4, 2, 2, 1}});
  m.output(y).output(m.op(37, {y, block, pads}, {"z", testing::kF32, {1, 3, 4, 1}}));
  const Tensor data = Tensor::from<float>({1, 3, 4, 1}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  const auto out = m.run({data});
  EXPECT_THAT(values(out[0]), ElementsAre(1, 3, 9, 11, 2, 4, 10, 12, 5, 7, 0, 0, 6, 8, 0, 0));
  EXPECT_TRUE(out[1].identical(data));
}

TEST(TfliteOperators, Resizes) {
  const auto resized = [](int code, int8_t corners, int8_t centres) {
    TfModel m;
    const int32_t x = m.input({"x", testing::kF32, {1, 1, 2, 1}});
    const Options options =
        code == 23 ? Options{{}, {}, corners, centres} : Options{corners, centres};
    m.output(m.op(code, {x, m.ints({1, 4})}, {"y", testing::kF32, {1, 1, 4, 1}}, options));
    return values(m.run({Tensor::from<float>({1, 1, 2, 1}, {0, 12})}).at(0));
  };
  EXPECT_THAT(resized(23, 0, 0), ElementsAre(0, 6, 12, 12));
  EXPECT_THAT(resized(23, 1, 0), ElementsAre(0, 4, 8, 12));
  EXPECT_THAT(resized(23, 0, 1), ElementsAre(0, 3, 9, 12));
  EXPECT_THAT(resized(97, 0, 0), ElementsAre(0, 0, 12, 12));
  EXPECT_THAT(resized(97, 1, 0), ElementsAre(0, 0, 12, 12));
  EXPECT_THAT(resized(97, 0, 1), ElementsAre(0, 0, 12, 12));
}

TEST(TfliteOperators, ChoicesAndCasts) {
  TfModel m;
  const int32_t x = m.input({"x", testing::kF32, {1, 3}});
  const int32_t zero = m.constant("zero", Tensor::scalar(0.0f));
  const int32_t positive = m.op(61, {x, zero}, {"positive", testing::kBool, {1, 3}});
  m.output(m.op(123, {positive, x, zero}, {"chosen", testing::kF32, {1, 3}}));
  m.output(m.op(53, {x}, {"cast", testing::kI32, {1, 3}}));
  m.output(m.op(56, {x, m.ints({1})}, {"most", testing::kI32, {1}}));
  m.output(m.op(106, {x, x, x}, {"sum", testing::kF32, {1, 3}}));
  m.output(m.op(128, {x, m.ints({1})}, {"running", testing::kF32, {1, 3}}, {int8_t{1}, int8_t{0}}));
  m.output(m.op(130, {x, m.ints({2, 3})}, {"wide", testing::kF32, {2, 3}}));
  m.output(m.op(93, {x}, {"zeros", testing::kF32, {1, 3}}));
  const auto y = m.run({Tensor::from<float>({1, 3}, {-1.5, 2.5, 1})});
  EXPECT_THAT(values(y[0]), ElementsAre(0, 2.5, 1));
  EXPECT_THAT(values(y[1]), ElementsAre(-1, 2, 1));
  EXPECT_THAT(values(y[2]), ElementsAre(1));
  EXPECT_THAT(values(y[3]), ElementsAre(-4.5, 7.5, 3));
  EXPECT_THAT(values(y[4]), ElementsAre(0, -1.5, 1));
  EXPECT_EQ(y[5].shape(), (Shape{2, 3}));
  EXPECT_THAT(values(y[6]), ElementsAre(0, 0, 0));
}

}  // namespace
}  // namespace espalier

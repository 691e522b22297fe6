// Operators against plain loops over pictures as the file lays them out, [N, H, W, C].
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/rng.h"
#include "tests/tflite/models.h"

namespace espalier {
namespace {

using ::testing::ElementsAre;
using testing::TfModel;
using testing::TfTensor;
using Options = std::vector<testing::FlatWriter::Field>;

constexpr int8_t kSame = 0, kValid = 1;
constexpr int8_t kNone = 0, kRelu = 1, kRelu6 = 3;

Tensor random_tensor(const Shape& shape, uint64_t stream) {
  Tensor t(DType::f32, shape);
  const Rng rng(7, stream);
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] = float(rng.uniform(uint64_t(i), -2, 2));
  return t;
}

std::vector<int32_t> extents(const Shape& s) { return {s.begin(), s.end()}; }

Tensor list(std::vector<float> values) {
  return Tensor::from<float>({int64_t(values.size())}, std::span<const float>(values));
}

std::vector<float> values(const Tensor& t) {
  std::vector<float> v;
  for (int64_t i = 0; i < t.size(); ++i) v.push_back(float(t.at(i)));
  return v;
}

void expect_near(const Tensor& got, const Tensor& want, double tolerance = 1e-4) {
  ASSERT_EQ(got.shape(), want.shape());
  for (int64_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got.at(i), want.at(i), tolerance) << i;
}

struct Conv {
  int64_t stride = 1, dilation = 1;
  bool same = true, depthwise = false;
};

/// The window's first row (or column) over the operand, and how many results there are.
std::pair<int64_t, int64_t> span_of(int64_t extent, int64_t kernel, const Conv& c) {
  const int64_t reach = (kernel - 1) * c.dilation + 1;
  if (!c.same) return {0, (extent - reach) / c.stride + 1};
  const int64_t out = (extent + c.stride - 1) / c.stride;
  return {-(std::max<int64_t>(0, (out - 1) * c.stride + reach - extent) / 2), out};
}

/// x [N,H,W,C]; w [O,KH,KW,I] with I dividing C, or depthwise [1,KH,KW,C m].
Tensor convolved(const Tensor& x, const Tensor& w, const Tensor& bias, const Conv& c) {
  const Shape s = x.shape(), k = w.shape();
  const auto [top, rows] = span_of(s[1], k[1], c);
  const auto [left, columns] = span_of(s[2], k[2], c);
  const int64_t outputs = c.depthwise ? k[3] : k[0];
  const int64_t per_group = c.depthwise ? 1 : k[3];
  const int64_t per_output = c.depthwise ? k[3] / s[3] : outputs / (s[3] / k[3]);
  Tensor y(DType::f32, {s[0], rows, columns, outputs});
  int64_t at = 0;
  for (int64_t n = 0; n < s[0]; ++n)
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j)
        for (int64_t o = 0; o < outputs; ++o) {
          double sum = bias.at(o);
          const int64_t first = o / per_output * per_group;
          for (int64_t p = 0; p < k[1]; ++p)
            for (int64_t q = 0; q < k[2]; ++q) {
              const int64_t r = top + i * c.stride + p * c.dilation;
              const int64_t t = left + j * c.stride + q * c.dilation;
              if (r < 0 || t < 0 || r >= s[1] || t >= s[2]) continue;
              for (int64_t m = 0; m < per_group; ++m)
                sum += x.at(((n * s[1] + r) * s[2] + t) * s[3] + first + m) *
                       w.at(c.depthwise ? (p * k[2] + q) * k[3] + o
                                        : ((o * k[1] + p) * k[2] + q) * k[3] + m);
            }
          y.mutable_data<float>()[at++] = float(sum);
        }
  return y;
}

void check_convolution(const Shape& x, const Shape& w, const Conv& c) {
  TfModel m;
  const Tensor weight = random_tensor(w, 1);
  const Tensor bias = random_tensor({c.depthwise ? w[3] : w[0]}, 2);
  const int32_t in = m.input({"x", testing::kF32, extents(x)});
  const auto stride = int32_t(c.stride), dilation = int32_t(c.dilation);
  const int8_t padding = c.same ? kSame : kValid;
  const Options options = c.depthwise ? Options{padding, stride,   stride,  int32_t(w[3] / x[3]),
                                                kNone,   dilation, dilation}
                                      : Options{padding, stride, stride, kNone, dilation, dilation};
  const Tensor data = random_tensor(x, 3);
  const Tensor want = convolved(data, weight, bias, c);
  const int32_t y = m.op(c.depthwise ? 4 : 3, {in, m.constant("w", weight), m.constant("b", bias)},
                         {"y", testing::kF32, extents(want.shape())}, options);
  m.output(y);
  expect_near(m.run({data}).at(0), want);
}

TEST(TfliteOperators, Convolutions) {
  check_convolution({2, 5, 6, 3}, {4, 3, 3, 3}, {});
  check_convolution({1, 6, 5, 2}, {3, 3, 2, 2}, {.stride = 2});
  check_convolution({1, 7, 7, 2}, {3, 3, 3, 2}, {.dilation = 2});
  check_convolution({1, 7, 8, 2}, {3, 3, 3, 2}, {.stride = 2, .same = false});
  check_convolution({1, 4, 4, 6}, {4, 2, 2, 3}, {});  // two groups
}

TEST(TfliteOperators, DepthwiseConvolutions) {
  check_convolution({1, 5, 5, 3}, {1, 3, 3, 3}, {.depthwise = true});
  check_convolution({2, 6, 5, 2}, {1, 3, 2, 6}, {.stride = 2, .depthwise = true});
  check_convolution({1, 7, 7, 2}, {1, 3, 3, 2}, {.dilation = 2, .same = false, .depthwise = true});
}

TEST(TfliteOperators, TransposedConvolutionIsTheGradientOfAConvolution) {
  // <conv(u), v> = <u, transposed(v)>, and conv is checked above.
  const Conv c{.stride = 2};
  for (const Shape& shape : {Shape{1, 6, 7, 3}, Shape{1, 5, 8, 3}}) {
    const Tensor w = random_tensor({4, 3, 3, 3}, 1), u = random_tensor(shape, 2);
    const Tensor zero(DType::f32, {4});
    const Tensor cu = convolved(u, w, zero, c), v = random_tensor(cu.shape(), 3);
    // The transposed weight is [I, H, W, O] of the convolution's [O, H, W, I].
    Tensor moved(DType::f32, {3, 3, 3, 4});
    for (int64_t o = 0; o < 4; ++o)
      for (int64_t p = 0; p < 9; ++p)
        for (int64_t i = 0; i < 3; ++i)
          moved.mutable_data<float>()[(i * 9 + p) * 4 + o] = float(w.at((o * 9 + p) * 3 + i));
    TfModel m;
    const int32_t x = m.input({"x", testing::kF32, extents(v.shape())});
    const int32_t y = m.op(67, {m.ints(extents(shape)), m.constant("w", moved), x},
                           {"y", testing::kF32, extents(shape)}, {kSame, 2, 2});
    m.output(y);
    const Tensor tv = m.run({v}).at(0);
    ASSERT_EQ(tv.shape(), shape);
    double left = 0, right = 0;
    for (int64_t i = 0; i < cu.size(); ++i) left += cu.at(i) * v.at(i);
    for (int64_t i = 0; i < u.size(); ++i) right += u.at(i) * tv.at(i);
    EXPECT_NEAR(left, right, 1e-3);
  }
}

TEST(TfliteOperators, FullyConnectedFlattensInTheFilesOrder) {
  const Tensor w = random_tensor({2, 12}, 1), b = list({1, -1}), x = random_tensor({3, 2, 2, 3}, 2);
  TfModel m;
  const int32_t in = m.input({"x", testing::kF32, {3, 2, 2, 3}});
  m.output(
      m.op(9, {in, m.constant("w", w), m.constant("b", b)}, {"y", testing::kF32, {3, 2}}, {kRelu}));
  Tensor want(DType::f32, {3, 2});
  for (int64_t r = 0; r < 3; ++r)
    for (int64_t o = 0; o < 2; ++o) {
      double sum = b.at(o);
      for (int64_t i = 0; i < 12; ++i) sum += x.at(r * 12 + i) * w.at(o * 12 + i);
      want.mutable_data<float>()[r * 2 + o] = float(std::max(0.0, sum));
    }
  expect_near(m.run({x}).at(0), want);
}

TEST(TfliteOperators, FullyConnectedKeepsLeadingAxesWhereAsked) {
  TfModel m;
  const int32_t in = m.input({"x", testing::kF32, {2, 2, 3}});
  const int32_t w = m.constant("w", Tensor::from<float>({1, 3}, {1, 10, 100}));
  m.output(m.op(9, {in, w, -1}, {"y", testing::kF32, {2, 2, 1}}, {kNone, int8_t{0}, int8_t{1}}));
  const Tensor x = Tensor::from<float>({2, 2, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 1, 1});
  const Tensor y = m.run({x}).at(0);
  EXPECT_EQ(y.shape(), (Shape{2, 2, 1}));
  EXPECT_THAT(values(y), ElementsAre(321, 654, 987, 111));
}

TEST(TfliteOperators, Pools) {
  const Tensor x = random_tensor({1, 5, 5, 2}, 1);
  for (const bool max : {false, true})
    for (const bool same : {false, true}) {
      TfModel m;
      const Conv c{.stride = 2, .same = same};
      const auto [top, rows] = span_of(5, 3, c);
      Tensor want(DType::f32, {1, rows, rows, 2});
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < rows; ++j)
          for (int64_t ch = 0; ch < 2; ++ch) {
            double sum = 0, most = -1e9;
            int n = 0;
            for (int64_t r = top + 2 * i; r < top + 2 * i + 3; ++r)
              for (int64_t t = top + 2 * j; t < top + 2 * j + 3; ++t) {
                if (r < 0 || t < 0 || r >= 5 || t >= 5) continue;
                const double v = x.at((r * 5 + t) * 2 + ch);
                sum += v;
                most = std::max(most, v);
                ++n;
              }
            want.mutable_data<float>()[(i * rows + j) * 2 + ch] = float(max ? most : sum / n);
          }
      const int32_t in = m.input({"x", testing::kF32, {1, 5, 5, 2}});
      m.output(m.op(max ? 17 : 1, {in}, {"y", testing::kF32, extents(want.shape())},
                    {same ? kSame : kValid, 2, 2, 3, 3, kNone}));
      expect_near(m.run({x}).at(0), want);
    }
}

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

TEST(TfliteOperators, BatchedProducts) {
  TfModel m;
  const int32_t a = m.input({"a", testing::kF32, {2, 2, 3}}),
                b = m.input({"b", testing::kF32, {2, 4, 3}});
  m.output(m.op(126, {a, b}, {"y", testing::kF32, {2, 2, 4}}, {int8_t{0}, int8_t{1}}));
  const Tensor x = random_tensor({2, 2, 3}, 1), w = random_tensor({2, 4, 3}, 2);
  Tensor want(DType::f32, {2, 2, 4});
  for (int64_t n = 0; n < 2; ++n)
    for (int64_t i = 0; i < 2; ++i)
      for (int64_t j = 0; j < 4; ++j) {
        double sum = 0;
        for (int64_t k = 0; k < 3; ++k)
          sum += x.at((n * 2 + i) * 3 + k) * w.at((n * 4 + j) * 3 + k);
        want.mutable_data<float>()[(n * 2 + i) * 4 + j] = float(sum);
      }
  expect_near(m.run({x, w}).at(0), want);
}

}  // namespace
}  // namespace espalier

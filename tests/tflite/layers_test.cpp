// Convolutions, products and pools against plain loops over pictures as the file lays them out,
// [N, H, W, C].
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/tflite/floats.h"

namespace espalier {
namespace {

using ::testing::ElementsAre;
using testing::expect_near;
using testing::extents;
using testing::kNone;
using testing::kRelu;
using testing::kSame;
using testing::kValid;
using testing::list;
using testing::Options;
using testing::random_tensor;
using testing::TfModel;
using testing::values;

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

TEST(TfliteLayers, Convolutions) {
  check_convolution({2, 5, 6, 3}, {4, 3, 3, 3}, {});
  check_convolution({1, 6, 5, 2}, {3, 3, 2, 2}, {.stride = 2});
  check_convolution({1, 7, 7, 2}, {3, 3, 3, 2}, {.dilation = 2});
  check_convolution({1, 7, 8, 2}, {3, 3, 3, 2}, {.stride = 2, .same = false});
  check_convolution({1, 4, 4, 6}, {4, 2, 2, 3}, {});  // two groups
}

TEST(TfliteLayers, DepthwiseConvolutions) {
  check_convolution({1, 5, 5, 3}, {1, 3, 3, 3}, {.depthwise = true});
  check_convolution({2, 6, 5, 2}, {1, 3, 2, 6}, {.stride = 2, .depthwise = true});
  check_convolution({1, 7, 7, 2}, {1, 3, 3, 2}, {.dilation = 2, .same = false, .depthwise = true});
}

TEST(TfliteLayers, TransposedConvolutionIsTheGradientOfAConvolution) {
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

TEST(TfliteLayers, FullyConnectedFlattensInTheFilesOrder) {
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

TEST(TfliteLayers, FullyConnectedKeepsLeadingAxesWhereAsked) {
  TfModel m;
  const int32_t in = m.input({"x", testing::kF32, {2, 2, 3}});
  const int32_t w = m.constant("w", Tensor::from<float>({1, 3}, {1, 10, 100}));
  m.output(m.op(9, {in, w, -1}, {"y", testing::kF32, {2, 2, 1}}, {kNone, int8_t{0}, int8_t{1}}));
  const Tensor x = Tensor::from<float>({2, 2, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 1, 1});
  const Tensor y = m.run({x}).at(0);
  EXPECT_EQ(y.shape(), (Shape{2, 2, 1}));
  EXPECT_THAT(values(y), ElementsAre(321, 654, 987, 111));
}

TEST(TfliteLayers, Pools) {
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

TEST(TfliteLayers, BatchedProducts) {
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

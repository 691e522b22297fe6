// Quantised files against the integer arithmetic the format specifies: products of
// (integer - zero point) are summed, scaled by s_x s_w / s_y and rounded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "ir/interpret.h"
#include "ir/room.h"
#include "tests/tflite/models.h"

namespace espalier {
namespace {

using testing::count;
using testing::operators_of;
using testing::TfModel;
using testing::TfTensor;

constexpr int8_t kSame = 0;

template <class T>
Tensor random_integers(const Shape& shape, uint64_t stream, int lowest, int highest) {
  Tensor t(dtype_of<T>::value, shape);
  const Rng rng(5, stream);
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<T>()[i] = T(std::floor(rng.uniform(uint64_t(i), lowest, highest + 1)));
  return t;
}

/// Differences of at most one step, and few: the format rounds halves otherwise.
void expect_integers(const Tensor& got, const std::vector<double>& want, double allowed_share) {
  ASSERT_EQ(size_t(got.size()), want.size());
  int64_t different = 0;
  for (int64_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(got.at(i), want[size_t(i)], 1) << i;
    different += got.at(i) != want[size_t(i)] ? 1 : 0;
  }
  EXPECT_LE(double(different), allowed_share * double(got.size()));
}

struct Case {
  int type = testing::kI8;
  int x_zero = -3, y_zero = 4, w_zero = 0;
  bool depthwise = false;
  int8_t activation = 1;
};

/// A 3x3 convolution over [1,6,6,4], padded with the zero point, as integers.
void check_convolution(const Case& c) {
  const bool wide = c.type == testing::kI16, plain = c.type == testing::kU8;
  const double sx = 0.05, sy = wide ? 0.002 : 0.4;
  const int outputs = c.depthwise ? 4 : 3, per = c.depthwise ? 1 : 4;
  const int low = wide ? -2000 : plain ? 0 : -128, high = wide ? 2000 : plain ? 255 : 127;
  const Tensor x = wide    ? random_integers<int16_t>({1, 6, 6, 4}, 1, low, high)
                   : plain ? random_integers<uint8_t>({1, 6, 6, 4}, 1, low, high)
                           : random_integers<int8_t>({1, 6, 6, 4}, 1, low, high);
  const Shape w_shape = c.depthwise ? Shape{1, 3, 3, 4} : Shape{3, 3, 3, 4};
  const Tensor w = plain ? random_integers<uint8_t>(w_shape, 2, c.w_zero - 100, c.w_zero + 100)
                         : random_integers<int8_t>(w_shape, 2, -127, 127);
  std::vector<float> sw;
  for (int o = 0; o < (plain ? 1 : outputs); ++o) sw.push_back(0.01f * float(o + 1));
  std::vector<float> sb;
  for (float s : sw) sb.push_back(s * float(sx));
  const Tensor bias = wide ? random_integers<int64_t>({outputs}, 3, -500, 500)
                           : random_integers<int32_t>({outputs}, 3, -500, 500);
  TfModel m;
  const int32_t in = m.input({"x", c.type, {1, 6, 6, 4}, {}, {float(sx)}, {c.x_zero}});
  const int32_t weight = m.constant("w", w, sw, std::vector<int64_t>(sw.size(), c.w_zero),
                                    c.depthwise && sw.size() > 1 ? 3 : 0);
  const int32_t b = m.constant("b", bias, sb, std::vector<int64_t>(sb.size(), 0));
  using Options = std::vector<testing::FlatWriter::Field>;
  const Options options =
      c.depthwise ? Options{kSame, 1, 1, 1, c.activation} : Options{kSame, 1, 1, c.activation};
  m.output(m.op(c.depthwise ? 4 : 3, {in, weight, b},
                {"y", c.type, {1, 6, 6, outputs}, {}, {float(sy)}, {c.y_zero}}, options));

  std::vector<double> want;
  for (int i = 0; i < 6; ++i)
    for (int j = 0; j < 6; ++j)
      for (int o = 0; o < outputs; ++o) {
        int64_t sum = bias.int_at(o);
        for (int p = 0; p < 3; ++p)
          for (int q = 0; q < 3; ++q) {
            const int r = i + p - 1, t = j + q - 1;
            if (r < 0 || t < 0 || r > 5 || t > 5) continue;
            for (int k = 0; k < per; ++k) {
              const int64_t xv = x.int_at((r * 6 + t) * 4 + (c.depthwise ? o : k)) - c.x_zero;
              const int64_t wv =
                  w.int_at(c.depthwise ? (p * 3 + q) * 4 + o : ((o * 3 + p) * 3 + q) * 4 + k);
              sum += xv * (wv - c.w_zero);
            }
          }
        const double scale = sx * double(sw[sw.size() > 1 ? size_t(o) : 0]) / sy;
        double y = std::round(double(sum) * scale) + c.y_zero;
        const double floor = c.activation == 1 ? c.y_zero : -1e9;
        const double lowest = wide    ? -32768
                              : plain ? 0
                                      : -128,
                     most = wide    ? 32767
                            : plain ? 255
                                    : 127;
        want.push_back(std::clamp(std::max(y, floor), lowest, most));
      }
  const Tensor y = m.run({x}).at(0);
  EXPECT_EQ(y.dtype(), x.dtype());
  expect_integers(y, want, 0.02);
}

TEST(TfliteQuantised, ConvolutionsByIntegerArithmetic) {
  check_convolution({});
  check_convolution({.depthwise = true});
  check_convolution({.x_zero = -128, .y_zero = -128, .activation = 0});
}

TEST(TfliteQuantised, UnsignedFilesToo) {
  check_convolution({.type = testing::kU8, .x_zero = 120, .y_zero = 10, .w_zero = 128});
  check_convolution({.type = testing::kU8, .x_zero = 120, .y_zero = 130, .w_zero = 101});
}

TEST(TfliteQuantised, SixteenBitActivationsWithEightBitWeights) {
  check_convolution({.type = testing::kI16, .x_zero = 0, .y_zero = 0, .activation = 0});
  check_convolution({.type = testing::kI16, .x_zero = 0, .y_zero = 0, .depthwise = true});
}

TEST(TfliteQuantised, BecomesWhatIntegerKernelsRecognise) {
  TfModel m;
  const int32_t x = m.input({"x", testing::kI8, {1, 6, 6, 4}, {}, {0.1f}, {-5}});
  const Tensor w = random_integers<uint8_t>({2, 3, 3, 4}, 1, 60, 200);
  const int32_t weight = m.constant("w", w, {0.02f}, {130});
  const Tensor bias = Tensor::from<int32_t>({2}, {5, -5});
  const int32_t b = m.constant("b", bias, {0.002f}, {0});
  const int32_t c = m.op(3, {x, weight, b}, {"c", testing::kI8, {1, 6, 6, 2}, {}, {0.5f}, {3}},
                         {kSame, 1, 1, int8_t{3}});
  const int32_t p =
      m.op(17, {c}, {"p", testing::kI8, {1, 3, 3, 2}, {}, {0.5f}, {3}}, {kSame, 2, 2, 2, 2});
  m.output(m.op(22, {p, m.ints({1, 18})}, {"y", testing::kI8, {1, 18}, {}, {0.5f}, {3}}));
  const Graph g = m.import();
  // Integers move as they are, and are turned into numbers only around the convolution.
  EXPECT_EQ(operators_of(g),
            "Transpose DequantizeLinear DequantizeLinear DequantizeLinear Conv Clip QuantizeLinear "
            "MaxPool Transpose Reshape");
  for (NodeId id : g.order()) {
    const Node& n = g.node(id);
    if (n.room->op.name != "Conv") continue;
    const Node& dq = g.node(g.value(n.inputs[1]).producer);
    const Tensor& stored = *g.value(dq.inputs[0]).constant;
    EXPECT_EQ(stored.dtype(), DType::i8);
    EXPECT_EQ(g.value(dq.inputs[2]).constant->int_at(0), 0);
    EXPECT_EQ(stored.int_at(0), w.int_at(0) - 130);
  }
}

TEST(TfliteQuantised, SumsRescale) {
  TfModel m;
  const int32_t a = m.input({"a", testing::kI8, {1, 4}, {}, {0.5f}, {10}});
  const int32_t b = m.input({"b", testing::kI8, {1, 4}, {}, {0.25f}, {-10}});
  m.output(m.op(0, {a, b}, {"y", testing::kI8, {1, 4}, {}, {1.0f}, {1}}, {int8_t{1}}));
  const auto y = m.run({Tensor::from<int8_t>({1, 4}, {20, 10, -100, 127}),
                        Tensor::from<int8_t>({1, 4}, {-10, 2, 0, 127})});
  // 5 + 0, 0 + 3, -55 + 2.5 cut off, 58.5 + 34.25
  EXPECT_EQ(y[0].to_i64(), (std::vector<int64_t>{6, 4, 1, 94}));
}

TEST(TfliteQuantised, CodingsChange) {
  TfModel m;
  const int32_t x = m.input({"x", testing::kF32, {1, 3}});
  const int32_t q = m.op(114, {x}, {"q", testing::kI8, {1, 3}, {}, {0.5f}, {0}});
  const int32_t u = m.op(114, {q}, {"u", testing::kU8, {1, 3}, {}, {0.25f}, {128}});
  m.output(q).output(u).output(m.op(6, {u}, {"y", testing::kF32, {1, 3}}));
  const auto y = m.run({Tensor::from<float>({1, 3}, {1.5f, -2, 100})});
  EXPECT_EQ(y[0].to_i64(), (std::vector<int64_t>{3, -4, 127}));
  EXPECT_EQ(y[1].to_i64(), (std::vector<int64_t>{134, 120, 255}));
  EXPECT_EQ(y[2].at(2), 31.75);
}

TEST(TfliteQuantised, JoinsOfOneCodingStayIntegersOthersAreRescaled) {
  for (const float scale : {0.5f, 0.25f}) {
    TfModel m;
    const int32_t a = m.input({"a", testing::kU8, {1, 2}, {}, {0.5f}, {10}});
    const int32_t b = m.input({"b", testing::kU8, {1, 2}, {}, {scale}, {10}});
    m.output(m.op(2, {a, b}, {"y", testing::kU8, {1, 4}, {}, {0.5f}, {10}}, {int32_t{1}}));
    EXPECT_EQ(count(m.import(), "QuantizeLinear"), scale == 0.5f ? 0 : 1);
    const auto y =
        m.run({Tensor::from<uint8_t>({1, 2}, {0, 255}), Tensor::from<uint8_t>({1, 2}, {18, 2})});
    const std::vector<int64_t> joined = {0, 255, 18, 2}, rescaled = {0, 255, 14, 6};
    EXPECT_EQ(y[0].to_i64(), scale == 0.5f ? joined : rescaled);
  }
}

TEST(TfliteQuantised, PaddingIsTheZeroPoint) {
  TfModel m;
  const int32_t x = m.input({"x", testing::kI8, {1, 2}, {}, {0.5f}, {-7}});
  const int32_t pads = m.constant("pads", Tensor::from<int32_t>({2, 2}, {0, 0, 1, 1}));
  m.output(m.op(34, {x, pads}, {"y", testing::kI8, {1, 4}, {}, {0.5f}, {-7}}));
  EXPECT_EQ(m.run({Tensor::from<int8_t>({1, 2}, {1, 2})})[0].to_i64(),
            (std::vector<int64_t>{-7, 1, 2, -7}));
}

TEST(TfliteQuantised, WeightsAloneMayBeQuantised) {
  TfModel m;
  const int32_t x = m.input({"x", testing::kF32, {1, 2}});
  const int32_t w = m.constant("w", Tensor::from<int8_t>({2, 2}, {1, 2, 3, 4}), {0.5f}, {0});
  const int32_t b = m.constant("b", Tensor::from<float>({2}, {1, 1}));
  m.output(m.op(9, {x, w, b}, {"y", testing::kF32, {1, 2}}));
  const Tensor y = m.run({Tensor::from<float>({1, 2}, {2, 4})})[0];
  EXPECT_EQ(y.at(0), 6);
  EXPECT_EQ(y.at(1), 12);
}

TEST(TfliteQuantised, FourBitWeights) {
  TfModel m;
  const int32_t x = m.input({"x", testing::kF32, {1, 3}});
  // 1, -2, 7 in nibbles, the low one first.
  const int32_t w = m.tensor({"w", 17, {1, 3}, std::string("\xE1\x07", 2), {1.0f}, {0}});
  m.output(m.op(9, {x, w, -1}, {"y", testing::kF32, {1, 1}}));
  EXPECT_EQ(m.run({Tensor::from<float>({1, 3}, {100, 10, 1})})[0].at(0), 87);
}

}  // namespace
}  // namespace espalier

// The 8-bit depthwise convolution against sums in integers, over awkward shapes: channels that fill
// no vector, windows of all sizes, strides, padding on one side, dilation, zero points, residuals,
// every result type.
#include "kernels/int8_depthwise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/rng.h"
#include "base/threads.h"
#include "tensor/tensor.h"

namespace espalier::kernels {
namespace {

struct Case {
  int64_t channels, height, width;
  Shape window;
  int64_t stride, pad, dilation;
  DType x, y;
  int zero;
  bool residual;
  bool one_scale = false;
};

double wanted(const Int8ConvSpec& s, const Tensor& x, const Tensor& r, int64_t n, int64_t c,
              int64_t i, int64_t j) {
  int64_t sum = 0;
  for (int64_t a = 0; a < s.w[2]; ++a)
    for (int64_t b = 0; b < s.w[3]; ++b) {
      const int64_t row = i * s.strides[0] + a * s.dilations[0] - s.pads_begin[0];
      const int64_t column = j * s.strides[1] + b * s.dilations[1] - s.pads_begin[1];
      if (row < 0 || row >= s.x[2] || column < 0 || column >= s.x[3]) continue;
      const int64_t v = x.int_at(((n * s.x[2] + row) * s.x[3] + column) * s.x[1] + c);
      sum += (v - s.x_zero_point) * s.weights[(c * s.w[2] + a) * s.w[3] + b];
    }
  double y = double(sum) * double(s.scales[s.scales.size() == 1 ? 0 : size_t(c)]);
  if (!s.bias.empty()) y += double(s.bias[size_t(c)]);
  if (s.residual) {
    const int64_t at = ((n * s.y[2] + i) * s.y[3] + j) * s.y[1] + c;
    y += double(s.residual_scale) * (double(r.int_at(at)) - double(s.residual_zero));
  }
  if (s.clamps) y = std::clamp(y, double(s.low), double(s.high));
  return y + double(s.y_zero_point);
}

Int8ConvSpec spec_of(const Case& c, const Rng& rng, std::vector<int8_t>& weights) {
  // One more row and column of padding behind than in front.
  const auto out = [&c](int64_t size, int64_t window) {
    return (size + 2 * c.pad + 1 - ((window - 1) * c.dilation + 1)) / c.stride + 1;
  };
  Int8ConvSpec s;
  s.x = {2, c.channels, c.height, c.width};
  s.y = {2, c.channels, out(c.height, c.window[0]), out(c.width, c.window[1])};
  s.w = {c.channels, 1, c.window[0], c.window[1]};
  s.x_type = c.x;
  s.y_type = c.y;
  s.x_zero_point = c.zero;
  s.strides = {c.stride, c.stride};
  s.dilations = {c.dilation, c.dilation};
  s.pads_begin = {c.pad, c.pad};
  weights.resize(size_t(numel(s.w)));
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = int8_t(int(rng.below(i, 256)) - 128);
  s.weights = weights.data();
  for (int64_t o = 0; o < (c.one_scale ? 1 : c.channels); ++o)
    s.scales.push_back(float(rng.uniform(uint64_t(9000 + o), 1e-3, 3e-3)));
  for (int64_t o = 0; !c.one_scale && o < c.channels; ++o)
    s.bias.push_back(float(rng.uniform(uint64_t(9500 + o), -20, 20)));
  s.clamps = c.zero != 0;
  s.low = -30.3f;
  s.high = 60.7f;
  s.y_zero_point = c.y == DType::u8 ? 40 : 0;
  s.residual = c.residual;
  s.residual_type = DType::i8;
  s.residual_scale = 0.3f;
  s.residual_zero = 3;
  return s;
}

void check(const Case& c) {
  SCOPED_TRACE(std::to_string(c.channels) + " channels, window " + std::to_string(c.window[0]) +
               "x" + std::to_string(c.window[1]) + " stride " + std::to_string(c.stride) +
               " dilation " + std::to_string(c.dilation));
  const Rng rng(5, uint64_t(c.channels * 1000 + c.window[0] * 10 + c.stride));
  std::vector<int8_t> weights;
  const Int8ConvSpec s = spec_of(c, rng, weights);
  ASSERT_EQ(int8_depthwise_refusal(s), nullptr);
  Tensor x(c.x, s.x), r(DType::i8, s.y), y(c.y, s.y);
  for (int64_t i = 0; i < x.size(); ++i)
    static_cast<uint8_t*>(x.mutable_raw())[i] = uint8_t(rng.bits(uint64_t(i) + 50000));
  for (int64_t i = 0; i < r.size(); ++i)
    r.mutable_data<int8_t>()[i] = int8_t(rng.bits(uint64_t(i) + 90000));
  const Int8Depthwise conv(s);
  std::vector<Tensor> results;
  for (int threads : {1, 2}) {
    const ThreadScope scope(threads);
    conv.run(x.raw(), r.raw(), y.mutable_raw());
    results.push_back(y.clone());
  }
  EXPECT_TRUE(results[0].identical(results[1]));
  int wrong = 0;
  for (int64_t at = 0; at < y.size(); ++at) {
    const int64_t channel = at % c.channels, pixel = at / c.channels;
    const int64_t row = pixel / s.y[3];
    double want = wanted(s, x, r, row / s.y[2], channel, row % s.y[2], pixel % s.y[3]);
    if (c.y == DType::u8) want = std::clamp(want, 0.0, 255.0);
    if (c.y == DType::i8) want = std::clamp(want, -128.0, 127.0);
    const double allowed = c.y == DType::f32 ? 1e-3 + 1e-5 * std::abs(want) : 0.501;
    wrong += std::abs(y.at(at) - want) > allowed;
  }
  EXPECT_EQ(wrong, 0);
}

TEST(Int8Depthwise, AgreesWithIntegerSums) {
  if (!int8_conv_available()) GTEST_SKIP() << "no AVX-512 VNNI here";
  const auto u8 = DType::u8, i8 = DType::i8, f32 = DType::f32;
  const Case cases[] = {
      {64, 9, 9, {3, 3}, 1, 1, 1, u8, u8, 0, false},
      {64, 9, 12, {3, 3}, 2, 1, 1, u8, u8, 0, false},
      {96, 7, 10, {3, 3}, 1, 1, 1, i8, u8, 0, false},
      {144, 6, 5, {3, 3}, 2, 1, 1, u8, i8, 7, false},
      {16, 8, 8, {3, 3}, 1, 0, 1, i8, i8, -9, false},
      {32, 5, 6, {3, 3}, 2, 0, 1, i8, u8, 3, false, true},
      {17, 5, 9, {3, 3}, 1, 2, 1, u8, u8, 100, false},
      {40, 4, 7, {3, 3}, 1, 1, 1, u8, f32, 0, false},
      {100, 6, 40, {3, 3}, 1, 1, 1, u8, u8, 200, true},
      {63, 6, 37, {3, 3}, 2, 1, 1, i8, f32, -100, true},
      {112, 1, 1, {3, 3}, 1, 1, 1, u8, u8, 5, false},
      {64, 9, 11, {3, 3}, 1, 2, 2, u8, u8, 9, false},
      {64, 9, 11, {3, 3}, 3, 1, 1, u8, u8, 9, false},
      {80, 11, 13, {5, 5}, 1, 2, 1, u8, u8, 1, false},
      {32, 12, 90, {5, 5}, 2, 2, 1, i8, i8, 1, true},
      {48, 13, 50, {7, 7}, 1, 3, 1, u8, u8, 0, false},
      {64, 9, 40, {7, 7}, 2, 3, 1, u8, f32, 30, false},
      {24, 5, 8, {2, 2}, 1, 0, 1, u8, u8, 2, false},
      {24, 8, 8, {1, 3}, 1, 1, 1, u8, u8, 2, false},
      {24, 8, 8, {2, 3}, 2, 1, 1, u8, u8, 2, false},
      {24, 9, 8, {4, 3}, 1, 1, 1, u8, u8, 2, false},
      {24, 17, 6, {9, 1}, 1, 0, 1, i8, i8, 2, false},
      {16, 4, 4, {3, 3}, 8, 4, 1, u8, u8, 6, false},  // windows that meet only padding
  };
  for (const Case& c : cases) check(c);
}

TEST(Int8Depthwise, SaysWhatItCannot) {
  std::vector<int8_t> weights;
  const Case fits = {32, 9, 9, {3, 3}, 1, 1, 1, DType::u8, DType::u8, 0, false};
  const auto refusal = [&weights](Case c, const std::function<void(Int8ConvSpec&)>& change = {}) {
    Int8ConvSpec s = spec_of(c, Rng(1, 1), weights);
    if (change) change(s);
    const char* why = int8_depthwise_refusal(s);
    return std::string(why ? why : "");
  };
  EXPECT_EQ(refusal(fits), "");
  Case few = fits, wide = fits;
  few.channels = 15;
  EXPECT_EQ(refusal(few), "it has fewer than 16 channels");
  wide.window = {3, 81};
  wide.width = 200;
  EXPECT_EQ(refusal(wide), "its window is too large");
  const auto twice = [](Int8ConvSpec& s) { s.y[1] = s.w[0] = 64; };
  EXPECT_EQ(refusal(fits, twice), "not every channel has one window of its own");
}

}  // namespace
}  // namespace espalier::kernels

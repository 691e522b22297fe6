// The 8-bit convolution against sums in integers, over awkward shapes: odd channels, strides,
// padding on one side, dilation, zero points, residuals, every result type.
#include "kernels/int8_conv.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "base/threads.h"
#include "tensor/tensor.h"

namespace espalier::kernels {
namespace {

struct Case {
  int64_t in, out, size, kernel, stride, pad, dilation;
  DType x, y;
  int zero;
  bool residual;
};

double wanted(const Int8ConvSpec& s, const Tensor& x, const Tensor& r, int64_t n, int64_t o,
              int64_t i, int64_t j) {
  int64_t sum = 0;
  const int64_t h = s.x[2], w = s.x[3], in = s.x[1];
  for (int64_t c = 0; c < in; ++c)
    for (int64_t a = 0; a < s.w[2]; ++a)
      for (int64_t b = 0; b < s.w[3]; ++b) {
        const int64_t row = i * s.strides[0] + a * s.dilations[0] - s.pads_begin[0];
        const int64_t column = j * s.strides[1] + b * s.dilations[1] - s.pads_begin[1];
        if (row < 0 || row >= h || column < 0 || column >= w) continue;
        const int64_t v = x.int_at(((n * h + row) * w + column) * in + c) - s.x_zero_point;
        sum += v * s.weights[((o * in + c) * s.w[2] + a) * s.w[3] + b];
      }
  double y = double(sum) * double(s.scales[size_t(o)]) + double(s.bias[size_t(o)]);
  if (s.residual) {
    const int64_t at = ((n * s.y[2] + i) * s.y[3] + j) * s.y[1] + o;
    y += double(s.residual_scale) * (double(r.int_at(at)) - double(s.residual_zero));
  }
  if (s.clamps) y = std::clamp(y, double(s.low), double(s.high));
  return y + double(s.y_zero_point);
}

void check(const Case& c) {
  const Rng rng(5, uint64_t(c.in * 1000 + c.out * 10 + c.kernel));
  const int64_t reach = (c.kernel - 1) * c.dilation + 1;
  const int64_t size = (c.size + c.pad + 1 - reach) / c.stride + 1;  // one more row below
  Int8ConvSpec s;
  s.x = {2, c.in, c.size, c.size};
  s.y = {2, c.out, size, size};
  s.w = {c.out, c.in, c.kernel, c.kernel};
  s.x_type = c.x;
  s.y_type = c.y;
  s.x_zero_point = c.zero;
  s.strides = {c.stride, c.stride};
  s.dilations = {c.dilation, c.dilation};
  s.pads_begin = {c.pad, c.pad};
  std::vector<int8_t> weights(size_t(numel(s.w)));
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = int8_t(int(rng.below(i, 255)) - 127);
  s.weights = weights.data();
  for (int64_t o = 0; o < c.out; ++o) {
    s.scales.push_back(float(rng.uniform(uint64_t(9000 + o), 1e-4, 3e-4)));
    s.bias.push_back(float(rng.uniform(uint64_t(9500 + o), -20, 20)));
  }
  s.clamps = c.zero != 0;
  s.low = -30;
  s.high = 60;
  s.y_zero_point = c.y == DType::u8 ? 40 : 0;
  s.residual = c.residual;
  s.residual_type = DType::i8;
  s.residual_scale = 0.3f;
  s.residual_zero = 3;
  Tensor x(c.x, s.x), r(DType::i8, s.y), y(c.y, s.y);
  for (int64_t i = 0; i < x.size(); ++i)
    static_cast<uint8_t*>(x.mutable_raw())[i] = uint8_t(rng.bits(uint64_t(i) + 50000));
  for (int64_t i = 0; i < r.size(); ++i)
    r.mutable_data<int8_t>()[i] = int8_t(rng.bits(uint64_t(i) + 90000));
  const Int8Conv conv(s);
  Tensor scratch(DType::u8, {int64_t(conv.scratch_bytes()) + 64});
  std::vector<Tensor> results;
  for (int threads : {1, 2}) {
    const ThreadScope scope(threads);
    conv.run(x.raw(), r.raw(), y.mutable_raw(), scratch.mutable_raw());
    results.push_back(y.clone());
  }
  EXPECT_TRUE(results[0].identical(results[1]));
  int wrong = 0;
  for (int64_t n = 0; n < 2; ++n)
    for (int64_t i = 0; i < size; ++i)
      for (int64_t j = 0; j < size; ++j)
        for (int64_t o = 0; o < c.out; ++o) {
          double want = wanted(s, x, r, n, o, i, j);
          const double got = y.at(((n * size + i) * size + j) * c.out + o);
          if (c.y == DType::u8) want = std::clamp(want, 0.0, 255.0);
          if (c.y == DType::i8) want = std::clamp(want, -128.0, 127.0);
          const double allowed = c.y == DType::f32 ? 1e-3 + 1e-5 * std::abs(want) : 0.501;
          wrong += std::abs(got - want) > allowed;
        }
  EXPECT_EQ(wrong, 0) << c.in << "->" << c.out << " size " << c.size << " kernel " << c.kernel
                      << " stride " << c.stride << " pad " << c.pad << " dilation " << c.dilation;
}

TEST(Int8Conv, AgreesWithIntegerSums) {
  if (!int8_conv_available()) GTEST_SKIP() << "no AVX-512 VNNI here";
  const Case cases[] = {
      {3, 16, 9, 3, 1, 1, 1, DType::i8, DType::u8, 0, false},
      {16, 16, 20, 3, 1, 1, 1, DType::u8, DType::u8, 0, true},
      {16, 32, 17, 3, 2, 1, 1, DType::u8, DType::i8, 0, false},
      {13, 11, 9, 3, 1, 1, 1, DType::u8, DType::u8, 7, false},
      {5, 33, 8, 3, 2, 1, 1, DType::i8, DType::i8, -9, true},
      {32, 48, 6, 1, 1, 0, 1, DType::u8, DType::f32, 0, false},
      {8, 20, 11, 1, 2, 0, 1, DType::i8, DType::u8, 3, true},
      {4, 7, 12, 5, 1, 2, 1, DType::u8, DType::u8, 1, false},
      {17, 64, 12, 3, 1, 2, 2, DType::u8, DType::f32, 100, true},
      {20, 16, 6, 2, 3, 0, 1, DType::i8, DType::u8, 0, false},
      {1, 1, 4, 3, 1, 1, 1, DType::u8, DType::u8, 0, false},
      {8, 5, 4, 1, 8, 2, 1, DType::u8, DType::u8, 0, false},  // only padding is met
  };
  for (const Case& c : cases) check(c);
}

}  // namespace
}  // namespace espalier::kernels

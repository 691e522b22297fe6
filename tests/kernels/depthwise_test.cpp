// Depthwise convolution against sums in double, over awkward shapes: channels that fill no vector,
// rows narrower than a window, padding on one side, steps and gaps between rows, bounds.
#include "kernels/depthwise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/rng.h"
#include "base/threads.h"
#include "tensor/tensor.h"

namespace espalier::kernels {
namespace {

using ::testing::HasSubstr;

struct Case {
  int64_t batch, channels, height, width;
  int64_t rows, columns;             ///< of the window
  int64_t stride, dilation;          ///< of rows
  int64_t top, bottom, left, right;  ///< padding
  bool bias;
  ScalarCode then;  ///< kRelu, kClip or kIdentity: nothing
};

Tensor random(Shape shape, uint64_t stream) {
  Tensor t(DType::f32, std::move(shape));
  const Rng rng(11, stream);
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] = float(rng.normal(uint64_t(i)));
  return t;
}

/// A convolution and what it reads.
struct Trial {
  explicit Trial(const Case& of)
      : c(of),
        x(random({c.batch, c.height, c.width, c.channels}, 1)),
        w(random({c.channels, 1, c.rows, c.columns}, 2)),
        b(random({c.channels}, 3)) {
    const int64_t reach = (c.rows - 1) * c.dilation;
    const int64_t high = (c.height + c.top + c.bottom - reach - 1) / c.stride + 1;
    const int64_t wide = c.width + c.left + c.right - c.columns + 1;
    spec.x = {c.batch, c.channels, c.height, c.width};
    spec.y = {c.batch, c.channels, high, wide};
    spec.geometry = {
        {c.stride, 1}, {c.dilation, 1}, {c.top, c.left}, {c.bottom, c.right}, c.channels};
    spec.weight = {DType::f32, w.shape(), w.raw(), 1};
    if (c.bias) spec.bias = Weight{DType::f32, b.shape(), b.raw(), 2};
    if (c.then == ScalarCode::kIdentity) return;
    EpilogueStep step;
    step.op = {c.then, -0.5f, 0.75f};
    spec.epilogue.steps.push_back(step);
  }

  double wanted(int64_t n, int64_t i, int64_t j, int64_t k) const {
    double sum = c.bias ? b.at(k) : 0;
    for (int64_t u = 0; u < c.rows; ++u)
      for (int64_t v = 0; v < c.columns; ++v) {
        const int64_t row = i * c.stride + u * c.dilation - c.top, column = j + v - c.left;
        if (row < 0 || row >= c.height || column < 0 || column >= c.width) continue;
        sum += x.at(((n * c.height + row) * c.width + column) * c.channels + k) *
               w.at((k * c.rows + u) * c.columns + v);
      }
    if (c.then == ScalarCode::kRelu) return std::max(sum, 0.0);
    return c.then == ScalarCode::kClip ? std::clamp(sum, -0.5, 0.75) : sum;
  }

  /// N, H, W, C.
  Tensor run(int threads) const {
    const ThreadScope scope(threads);
    const DepthwiseConv conv(spec);
    Tensor y(spec.y_type, {spec.y[0], spec.y[2], spec.y[3], spec.y[1]});
    std::vector<float> scratch(conv.scratch_bytes() / sizeof(float), std::nanf(""));
    const void* operands[] = {x.raw(), w.raw(), b.raw()};
    conv.run(operands, y.mutable_raw(), scratch.data());
    return y;
  }

  /// Images and windows as numbers of this type, the bias as it was.
  void cast(DType type) {
    x = x.cast(type);
    w = w.cast(type);
    spec.x_type = spec.y_type = spec.weight.type = type;
    spec.weight.constant = w.raw();
  }

  Case c;
  Tensor x, w, b;
  ConvSpec spec;
};

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.bytes() == b.bytes() &&
         std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

class DepthwiseTest : public ::testing::TestWithParam<Case> {};

TEST_P(DepthwiseTest, IsTheSumOverTaps) {
  const Trial trial(GetParam());
  ASSERT_EQ(no_depthwise(trial.spec), "");
  const Tensor y = trial.run(1);
  const Shape& s = trial.spec.y;
  double worst = 0;
  for (int64_t at = 0, n = 0; n < s[0]; ++n)
    for (int64_t i = 0; i < s[2]; ++i)
      for (int64_t j = 0; j < s[3]; ++j)
        for (int64_t k = 0; k < s[1]; ++k)
          worst = std::max(worst, std::abs(y.at(at++) - trial.wanted(n, i, j, k)));
  EXPECT_LT(worst, 2e-5) << "sums are of the order of five";
}

TEST_P(DepthwiseTest, GivesTheSameBitsOnTwoThreads) {
  const Trial trial(GetParam());
  EXPECT_TRUE(same_bits(trial.run(1), trial.run(2)));
}

TEST_P(DepthwiseTest, TakesWeightsAtRunTime) {
  Trial trial(GetParam());
  const Tensor known = trial.run(1);
  trial.spec.weight.constant = nullptr;
  EXPECT_TRUE(same_bits(known, trial.run(1)));
  if (trial.spec.bias) trial.spec.bias->constant = nullptr;
  EXPECT_TRUE(same_bits(known, trial.run(2)));
}

// What is bf16 in memory is computed with as f32.
TEST_P(DepthwiseTest, InBf16RoundsWhatF32Gives) {
  Trial narrow(GetParam()), wide(GetParam());
  narrow.cast(DType::bf16);
  ASSERT_EQ(no_depthwise(narrow.spec), "");
  wide.cast(DType::bf16);
  wide.cast(DType::f32);
  EXPECT_TRUE(same_bits(narrow.run(1), wide.run(1).cast(DType::bf16)));
}

constexpr auto kNone = ScalarCode::kIdentity, kRelu = ScalarCode::kRelu, kClip = ScalarCode::kClip;
INSTANTIATE_TEST_SUITE_P(
    Shapes, DepthwiseTest,
    ::testing::Values(Case{1, 64, 25, 5, 3, 3, 1, 1, 1, 1, 1, 1, true, kClip},
                      Case{2, 17, 4, 40, 3, 3, 1, 1, 1, 1, 1, 1, true, kRelu},
                      Case{1, 16, 3, 1, 3, 3, 1, 1, 1, 1, 1, 1, false, kNone},
                      Case{1, 33, 7, 2, 5, 5, 1, 1, 2, 2, 2, 2, true, kNone},
                      Case{1, 48, 9, 3, 7, 7, 1, 1, 3, 3, 3, 3, true, kRelu},
                      Case{1, 40, 12, 31, 7, 7, 1, 1, 0, 0, 0, 0, true, kClip},
                      Case{3, 24, 9, 17, 3, 5, 2, 1, 0, 2, 4, 0, false, kRelu},
                      Case{1, 20, 11, 29, 2, 3, 1, 3, 3, 1, 0, 2, true, kNone},
                      // Rows that no row of the window meets, columns that none meets.
                      Case{1, 19, 2, 2, 3, 3, 1, 1, 6, 5, 5, 6, true, kNone},
                      // So many channels that they go through in several parts.
                      Case{1, 523, 6, 14, 3, 3, 1, 1, 1, 1, 1, 1, true, kClip},
                      Case{1, 1031, 5, 9, 5, 5, 1, 1, 2, 2, 2, 2, false, kRelu}));

TEST(Depthwise, KeepsNan) {
  Trial trial({1, 32, 3, 3, 3, 3, 1, 1, 1, 1, 1, 1, true, kClip});
  trial.x.mutable_data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  const Tensor y = trial.run(1);
  EXPECT_TRUE(std::isnan(y.at(0)));
  EXPECT_FALSE(std::isnan(y.at(1)));
}

TEST(Depthwise, SaysWhatItDoesNotServe) {
  const Trial trial({1, 32, 8, 8, 3, 3, 1, 1, 1, 1, 1, 1, true, kRelu});
  const auto why = [&](auto change) {
    ConvSpec s = trial.spec;
    change(s);
    return no_depthwise(s);
  };
  EXPECT_THAT(why([](ConvSpec& s) { s.geometry.groups = 16; }), HasSubstr("window per channel"));
  EXPECT_THAT(why([](ConvSpec& s) { s.geometry.strides[1] = 2; }), HasSubstr("share no columns"));
  EXPECT_THAT(why([](ConvSpec& s) { s.geometry.dilations[1] = 2; }), HasSubstr("share no columns"));
  EXPECT_THAT(why([](ConvSpec& s) { s.weight.shape[3] = 4; }), HasSubstr("3, 5 or 7 wide"));
  EXPECT_THAT(why([](ConvSpec& s) { s.x_type = DType::u8; }), HasSubstr("neither f32 nor bf16"));
  EXPECT_THAT(why([](ConvSpec& s) { s.x.push_back(8); }), HasSubstr("planes"));
  EXPECT_THAT(
      why([](ConvSpec& s) { s.x[1] = s.y[1] = s.weight.shape[0] = s.geometry.groups = 15; }),
      HasSubstr("few channels"));
  EXPECT_THAT(why([](ConvSpec& s) { s.epilogue.steps[0].op.code = ScalarCode::kTanh; }),
              HasSubstr("more than bounds"));
  EXPECT_THAT(why([](ConvSpec& s) { s.epilogue.scales = {2}; }), HasSubstr("scaled"));
}

}  // namespace
}  // namespace espalier::kernels

// Winograd's convolution against sums in double, over awkward shapes: results that no whole number
// of tiles covers, padding on one side, channels that fill no vector, residuals, bounds.
#include "kernels/winograd.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/rng.h"
#include "base/threads.h"
#include "kernels/jit/micro_kernel.h"
#include "kernels/simd.h"
#include "tensor/tensor.h"

namespace espalier::kernels {
namespace {

using ::testing::HasSubstr;

struct Case {
  int64_t tile;
  int64_t batch, in, out, height, width, top, left;
  bool bias, residual;
  ScalarCode then;  ///< kRelu, kClip or kIdentity: nothing
};

Tensor random(Shape shape, uint64_t stream, double scale = 1) {
  Tensor t(DType::f32, std::move(shape));
  const Rng rng(7, stream);
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] = float(scale * rng.normal(uint64_t(i)));
  return t;
}

/// A convolution, what it reads, and what comes of it.
struct Trial {
  explicit Trial(const Case& c)
      : tile(c.tile),
        x(random({c.batch, c.height, c.width, c.in}, 1)),
        w(random({c.out, c.in, 3, 3}, 2, 1 / std::sqrt(9.0 * double(c.in)))),
        b(random({c.out}, 3)) {
    // One row more below than above, one column less at the right.
    const int64_t rows = c.height + 2 * c.top + 1 - 2, columns = c.width + 2 * c.left - 1 - 2;
    r = random({c.batch, rows, columns, c.out}, 4);
    spec.x = {c.batch, c.in, c.height, c.width};
    spec.y = {c.batch, c.out, rows, columns};
    spec.geometry = {{1, 1}, {1, 1}, {c.top, c.left}, {c.top + 1, c.left - 1}, 1};
    spec.weight = {DType::f32, w.shape(), w.raw(), 1};
    if (c.bias) spec.bias = Weight{DType::f32, b.shape(), b.raw(), 2};
    if (c.residual)
      spec.epilogue.steps.push_back({EpilogueStep::Kind::kResidual, {}, 1, DType::f32, 3});
    if (c.then != ScalarCode::kIdentity) {
      EpilogueStep step;
      step.op.code = c.then;
      step.op.p0 = -0.5f;
      step.op.p1 = 0.75f;
      spec.epilogue.steps.push_back(step);
    }
  }

  double wanted(const Case& c, int64_t n, int64_t i, int64_t j, int64_t o) const {
    double sum = c.bias ? b.at(o) : 0;
    for (int64_t u = 0; u < 3; ++u)
      for (int64_t v = 0; v < 3; ++v) {
        const int64_t row = i + u - c.top, column = j + v - c.left;
        if (row < 0 || row >= c.height || column < 0 || column >= c.width) continue;
        for (int64_t k = 0; k < c.in; ++k)
          sum += x.at(((n * c.height + row) * c.width + column) * c.in + k) *
                 w.at(((o * c.in + k) * 3 + u) * 3 + v);
      }
    if (c.residual) sum += r.at(index(n, i, j, o));
    if (c.then == ScalarCode::kRelu) return std::max(sum, 0.0);
    return c.then == ScalarCode::kClip ? std::clamp(sum, -0.5, 0.75) : sum;
  }

  int64_t index(int64_t n, int64_t i, int64_t j, int64_t o) const {
    return ((n * spec.y[2] + i) * spec.y[3] + j) * spec.y[1] + o;
  }

  Tensor run(int threads) const {
    const ThreadScope scope(threads);
    const auto conv = winograd_convolution(spec, tile);
    Tensor y(spec.y_type, r.shape());
    std::vector<float> scratch(conv->scratch_bytes() / sizeof(float));
    const void* operands[] = {x.raw(), w.raw(), b.raw(), r.raw()};
    conv->run(operands, y.mutable_raw(), scratch.data());
    return y;
  }

  /// Images and windows as numbers of this type, the bias as it was.
  void cast(DType type) {
    for (Tensor* t : {&x, &w, &r}) *t = t->cast(type);
    spec.x_type = spec.y_type = spec.weight.type = type;
    spec.weight.constant = w.raw();
    for (EpilogueStep& step : spec.epilogue.steps) step.residual_type = type;
  }

  int64_t tile;
  Tensor x, w, b, r;
  ConvSpec spec;
};

class WinogradTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (!no_generated_kernels().empty()) GTEST_SKIP() << no_generated_kernels();
  }
};

TEST_P(WinogradTest, IsTheSumOverTaps) {
  const Case& c = GetParam();
  const Trial trial(c);
  ASSERT_EQ(no_winograd(trial.spec), "");
  const Tensor y = trial.run(1);
  double worst = 0;
  for (int64_t n = 0; n < c.batch; ++n)
    for (int64_t i = 0; i < trial.spec.y[2]; ++i)
      for (int64_t j = 0; j < trial.spec.y[3]; ++j)
        for (int64_t o = 0; o < c.out; ++o)
          worst = std::max(worst,
                           std::abs(y.at(trial.index(n, i, j, o)) - trial.wanted(c, n, i, j, o)));
  EXPECT_LT(worst, 1e-5) << "sums are of the order of one";
}

TEST_P(WinogradTest, GivesTheSameBitsOnTwoThreads) {
  const Trial trial(GetParam());
  const Tensor one = trial.run(1), two = trial.run(2);
  EXPECT_EQ(std::memcmp(one.raw(), two.raw(), one.bytes()), 0);
}

TEST_P(WinogradTest, TakesWeightsAtRunTime) {
  Trial trial(GetParam());
  const Tensor known = trial.run(1);
  trial.spec.weight.constant = nullptr;
  if (trial.spec.bias) trial.spec.bias->constant = nullptr;
  for (int threads : {1, 2}) {
    const Tensor y = trial.run(threads);
    EXPECT_EQ(std::memcmp(known.raw(), y.raw(), y.bytes()), 0) << threads << " threads";
  }
}

double dot(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (int64_t i = 0; i < a.size(); ++i) sum += a.at(i) * b.at(i);
  return sum;
}

Tensor gradient(const WinogradConv& conv, const Tensor& a, const Tensor& b, const Shape& shape,
                DType type = DType::f32) {
  std::vector<float> scratch(conv.scratch_bytes() / sizeof(float), std::nanf(""));
  Tensor result(type, shape);
  const void* operands[] = {a.raw(), b.raw()};
  conv.run(operands, result.mutable_raw(), scratch.data());
  return result;
}

// <dy, conv(x, w)> = <dx, x> = <dw, w>: gradients are adjoints.
TEST_P(WinogradTest, GradientsAreAdjoints) {
  Case c = GetParam();
  c.bias = c.residual = false;
  c.then = ScalarCode::kIdentity;
  const Trial trial(c);
  const Tensor &dy = trial.r, y = trial.run(1);
  const ConvGradSpec g{DType::f32,   DType::f32,      trial.spec.x,
                       trial.spec.y, trial.w.shape(), trial.spec.geometry};
  ASSERT_EQ(no_winograd(g), "");
  const double wanted = dot(dy, y), allowed = 1e-5 * dot(y, y);
  const Tensor dx = gradient(*winograd_grad_input(g, c.tile), dy, trial.w, trial.x.shape());
  EXPECT_NEAR(dot(dx, trial.x), wanted, allowed);
  const Tensor dw = gradient(*winograd_grad_weight(g, c.tile), trial.x, dy, trial.w.shape());
  EXPECT_NEAR(dot(dw, trial.w), wanted, allowed);
  const ThreadScope two(2);
  const Tensor again = gradient(*winograd_grad_weight(g, c.tile), trial.x, dy, trial.w.shape());
  EXPECT_EQ(std::memcmp(dw.raw(), again.raw(), dw.bytes()), 0);
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

/// The root of the mean square of a - b, as a part of that of b.
double relative_error(const Tensor& a, const Tensor& b) {
  double error = 0;
  for (int64_t i = 0; i < b.size(); ++i) error += (a.at(i) - b.at(i)) * (a.at(i) - b.at(i));
  return std::sqrt(error / dot(b, b));
}

// What is bf16 in memory is computed with as f32; but gradients, where pairs of bf16 can be
// multiplied, are rounded at the points too.
TEST_P(WinogradTest, InBf16RoundsWhatF32Gives) {
  if (has_matrix_tiles()) GTEST_SKIP() << "tiles of bf16 are faster here";
  const Case& c = GetParam();
  Trial narrow(c), wide(c);
  narrow.cast(DType::bf16);
  ASSERT_EQ(no_winograd(narrow.spec), "");
  wide.cast(DType::bf16);
  wide.cast(DType::f32);
  EXPECT_TRUE(same_bits(narrow.run(1), wide.run(1).cast(DType::bf16)));
  narrow.spec.weight.constant = nullptr;
  EXPECT_TRUE(same_bits(narrow.run(2), wide.run(1).cast(DType::bf16)));

  const auto spec = [&](const Trial& t, DType weight) {
    return ConvGradSpec{t.spec.x_type, weight, t.spec.x, t.spec.y, t.w.shape(), t.spec.geometry};
  };
  const auto dx = [&](const Trial& t) {
    const auto of = winograd_grad_input(spec(t, t.spec.x_type), c.tile);
    return gradient(*of, t.r, t.w, t.x.shape(), t.spec.x_type);
  };
  const auto dw = [&](const Trial& t) {
    return gradient(*winograd_grad_weight(spec(t, DType::f32), c.tile), t.x, t.r, t.w.shape());
  };
  const Tensor dx_narrow = dx(narrow), dw_narrow = dw(narrow);
  const double at_points = c.tile == 4 ? 0.015 : 0.005;
  const double allowed = multiplies_bf16() ? at_points : 0.002;
  EXPECT_LT(relative_error(dx_narrow, dx(wide)), allowed);
  EXPECT_LT(relative_error(dw_narrow, dw(wide)), allowed);
  const ThreadScope two(2);
  EXPECT_TRUE(same_bits(dx(narrow), dx_narrow));
  EXPECT_TRUE(same_bits(dw(narrow), dw_narrow));
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, WinogradTest,
    ::testing::Values(Case{4, 1, 16, 16, 4, 4, 1, 1, false, false, ScalarCode::kIdentity},
                      Case{4, 2, 16, 48, 9, 6, 1, 1, true, false, ScalarCode::kRelu},
                      Case{4, 1, 32, 16, 5, 11, 0, 2, true, true, ScalarCode::kIdentity},
                      Case{4, 1, 48, 80, 30, 33, 1, 1, true, true, ScalarCode::kClip},
                      Case{4, 3, 64, 64, 27, 28, 1, 1, false, true, ScalarCode::kRelu},
                      Case{4, 2, 11, 23, 9, 10, 1, 1, true, true, ScalarCode::kRelu},
                      Case{2, 1, 37, 8, 7, 7, 1, 1, true, true, ScalarCode::kClip},
                      Case{2, 2, 16, 48, 9, 6, 1, 1, true, false, ScalarCode::kRelu},
                      Case{2, 1, 32, 16, 5, 11, 0, 2, true, true, ScalarCode::kIdentity},
                      Case{2, 3, 64, 64, 27, 28, 1, 1, false, true, ScalarCode::kRelu},
                      // Numbers at points that do not stay in a cache.
                      Case{4, 11, 380, 336, 4, 4, 1, 1, true, true, ScalarCode::kRelu}));

TEST(Winograd, SaysWhatItDoesNotServe) {
  if (!no_generated_kernels().empty()) GTEST_SKIP() << no_generated_kernels();
  const Trial trial({4, 1, 16, 16, 8, 8, 1, 1, true, true, ScalarCode::kRelu});
  const auto why = [&](auto change) {
    ConvSpec s = trial.spec;
    change(s);
    return no_winograd(s);
  };
  EXPECT_THAT(why([](ConvSpec& s) { s.x[1] = 4; }), HasSubstr("few channels"));
  EXPECT_THAT(why([](ConvSpec& s) { s.geometry.strides = {2, 2}; }), HasSubstr("side by side"));
  EXPECT_THAT(why([](ConvSpec& s) { s.x_type = DType::bf16; }), HasSubstr("neither f32 nor bf16"));
  EXPECT_THAT(why([](ConvSpec& s) { std::swap(s.epilogue.steps[0], s.epilogue.steps[1]); }),
              HasSubstr("residual and bounds"));
}

}  // namespace
}  // namespace espalier::kernels

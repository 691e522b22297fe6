// Gradients of windows by generated code against sums in double: strides, dilations, padding on one
// side, odd widths, channels that fill no vector, more positions than a block holds.
#include "kernels/jit/generated_grad_weight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/rng.h"
#include "base/threads.h"
#include "kernels/jit/micro_kernel.h"
#include "kernels/jit/point_grad_weight.h"
#include "tensor/tensor.h"

namespace espalier::kernels {
namespace {

using ::testing::HasSubstr;

struct Case {
  int64_t batch, in, out, height, width;
  int64_t window_high, window_wide;
  int64_t stride = 1, dilation = 1, top = 0, left = 0, bottom = 0, right = 0;

  int64_t rows() const {
    return (height + top + bottom - dilation * (window_high - 1) - 1) / stride + 1;
  }
  int64_t columns() const {
    return (width + left + right - dilation * (window_wide - 1) - 1) / stride + 1;
  }
};

Tensor random(Shape shape, uint64_t stream, DType type) {
  Tensor t(DType::f32, std::move(shape));
  const Rng rng(11, stream);
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] = float(rng.normal(uint64_t(i)));
  return t.cast(type);
}

struct Trial {
  Trial(const Case& c, DType type)
      : x(random({c.batch, c.height, c.width, c.in}, 1, type)),
        dy(random({c.batch, c.rows(), c.columns(), c.out}, 2, type)),
        reals{x.cast(DType::f32), dy.cast(DType::f32)} {
    spec.type = type;
    spec.weight_type = DType::f32;
    spec.x = {c.batch, c.in, c.height, c.width};
    spec.y = {c.batch, c.out, c.rows(), c.columns()};
    spec.w = {c.out, c.in, c.window_high, c.window_wide};
    spec.geometry = {
        {c.stride, c.stride}, {c.dilation, c.dilation}, {c.top, c.left}, {c.bottom, c.right}, 1};
  }

  Tensor run(int threads, DType weight_type = DType::f32) const {
    const ThreadScope scope(threads);
    ConvGradSpec s = spec;
    s.weight_type = weight_type;
    const auto gradient = generate_grad_weight(s);
    std::vector<float> scratch(gradient->scratch_bytes() / sizeof(float), std::nanf(""));
    Tensor dw(weight_type, spec.w);
    std::memset(dw.mutable_raw(), 0xFF, dw.bytes());  // NaN
    const void* operands[] = {x.raw(), dy.raw()};
    gradient->run(operands, dw.mutable_raw(), scratch.data());
    return dw;
  }

  /// The sum, and that of its terms' magnitudes.
  std::pair<double, double> wanted(const Case& c, int64_t o, int64_t i, int64_t u,
                                   int64_t v) const {
    double sum = 0, size = 0;
    for (int64_t n = 0; n < c.batch; ++n)
      for (int64_t r = 0; r < c.rows(); ++r)
        for (int64_t k = 0; k < c.columns(); ++k) {
          const int64_t row = r * c.stride + u * c.dilation - c.top;
          const int64_t column = k * c.stride + v * c.dilation - c.left;
          if (row < 0 || row >= c.height || column < 0 || column >= c.width) continue;
          const double term =
              double(reals[0].data<float>()[((n * c.height + row) * c.width + column) * c.in + i]) *
              reals[1].data<float>()[((n * c.rows() + r) * c.columns() + k) * c.out + o];
          sum += term;
          size += std::abs(term);
        }
    return {sum, size};
  }

  Tensor x, dy, reals[2];
  ConvGradSpec spec;
};

class GeneratedGradWeightTest : public ::testing::TestWithParam<std::tuple<Case, DType>> {
 protected:
  void SetUp() override {
    if (!no_generated_kernels().empty()) GTEST_SKIP() << no_generated_kernels();
    if (type() == DType::bf16 && !multiplies_bf16()) GTEST_SKIP() << "no products of bf16 here";
  }
  Case shape() const { return std::get<0>(GetParam()); }
  DType type() const { return std::get<1>(GetParam()); }
};

TEST_P(GeneratedGradWeightTest, IsTheSumOverPositions) {
  const Case c = shape();
  const Trial trial(c, type());
  ASSERT_EQ(no_generated_grad_weight(trial.spec), "");
  const Tensor dw = trial.run(1);
  double worst = 0;
  for (int64_t o = 0; o < c.out; ++o)
    for (int64_t i = 0; i < c.in; ++i)
      for (int64_t u = 0; u < c.window_high; ++u)
        for (int64_t v = 0; v < c.window_wide; ++v) {
          const auto [sum, size] = trial.wanted(c, o, i, u, v);
          const int64_t at = ((o * c.in + i) * c.window_high + u) * c.window_wide + v;
          worst = std::max(worst, std::abs(dw.at(at) - sum) / (size + 1e-6));
        }
  // Products of bf16 are exact in f32 and summed there.
  EXPECT_LT(worst, 1e-5) << "of the terms' size";
}

TEST_P(GeneratedGradWeightTest, GivesTheSameBitsOnTwoThreads) {
  const Trial trial(shape(), type());
  const Tensor one = trial.run(1), two = trial.run(2);
  EXPECT_EQ(std::memcmp(one.raw(), two.raw(), one.bytes()), 0);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, GeneratedGradWeightTest,
    ::testing::Combine(
        ::testing::Values(
            Case{2, 16, 16, 5, 6, 3, 3, 1, 1, 1, 1, 1, 1},
            Case{3, 64, 48, 7, 7, 3, 3, 1, 1, 1, 1, 1, 1},    // an odd width
            Case{2, 11, 23, 9, 10, 3, 3, 2, 1, 1, 0, 0, 1},   // channels that fill no vector
            Case{1, 80, 20, 12, 9, 3, 2, 1, 2, 2, 1, 0, 1},   // dilated
            Case{2, 33, 96, 8, 8, 1, 1, 2},                   // every other element
            Case{5, 24, 40, 16, 16, 3, 3, 1, 1, 1, 1, 1, 1},  // several blocks of images
            Case{2, 16, 60, 40, 24, 3, 3, 1, 1, 1, 1, 1, 1},  // several blocks of rows
            Case{2, 8, 8, 7, 6, 5, 4, 3, 1, 4, 3, 4, 3},      // padding that whole windows meet
            Case{2, 40, 70, 9, 11, 1, 1},                     // read where they lie, in f32
            Case{3, 96, 144, 24, 24, 1, 1},                   // the same in several blocks
            Case{1, 16, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1}),   // one element, padded
        ::testing::Values(DType::f32, DType::bf16)));

TEST(GeneratedGradWeight, RoundsToTheWeightsType) {
  if (!multiplies_bf16()) GTEST_SKIP() << "no products of bf16 here";
  for (const Case& c : {Case{2, 11, 23, 9, 10, 3, 3}, Case{5, 24, 40, 16, 16, 1, 2}}) {
    const Trial trial(c, DType::bf16);
    const Tensor rounded = trial.run(1).cast(DType::bf16), narrow = trial.run(1, DType::bf16);
    EXPECT_EQ(std::memcmp(rounded.raw(), narrow.raw(), narrow.bytes()), 0);
  }
}

TEST(GeneratedGradWeight, KeepsWhatIsNotANumberInItsPlace) {
  if (!multiplies_bf16()) GTEST_SKIP() << "no products of bf16 here";
  const Case c{1, 16, 16, 5, 5, 3, 3, 2};
  Trial trial(c, DType::bf16);
  // The last column is read by the last column of windows alone, at every second position.
  auto* x = trial.x.mutable_data<bfloat16>();
  for (int64_t row = 0; row < 5; ++row)
    for (int64_t i = 0; i < 16; ++i) x[(row * 5 + 4) * 16 + i] = bfloat16(std::nanf(""));
  const Tensor dw = trial.run(1);
  for (int64_t at = 0; at < dw.size(); ++at)
    EXPECT_EQ(std::isnan(dw.at(at)), at % 3 == 2) << "element " << at;
}

TEST(GeneratedGradWeight, ReadsPointsInPlaceWhereItCan) {
  const Trial f32({2, 40, 70, 9, 11, 1, 1}, DType::f32),
      bf16({2, 40, 70, 9, 11, 1, 1}, DType::bf16);
  EXPECT_TRUE(reads_positions_in_place(f32.spec));
  EXPECT_FALSE(reads_positions_in_place(bf16.spec));
  const Trial strided({2, 40, 70, 9, 11, 1, 1, 2}, DType::f32);
  EXPECT_FALSE(reads_positions_in_place(strided.spec));
}

TEST(GeneratedGradWeight, SaysWhatItDoesNotServe) {
  if (!no_generated_kernels().empty()) GTEST_SKIP() << no_generated_kernels();
  const Trial trial({2, 16, 16, 5, 6, 3, 3}, DType::f32);
  const auto why = [&](auto change) {
    ConvGradSpec s = trial.spec;
    change(s);
    return no_generated_grad_weight(s);
  };
  EXPECT_THAT(why([](ConvGradSpec& s) { s.x[1] = 4; }), HasSubstr("few channels"));
  EXPECT_THAT(why([](ConvGradSpec& s) { s.geometry.groups = 2; }), HasSubstr("groups"));
  EXPECT_THAT(why([](ConvGradSpec& s) { s.type = DType::f16; }), HasSubstr("bf16"));
  EXPECT_THAT(why([](ConvGradSpec& s) { s.x.pop_back(); }), HasSubstr("two spatial axes"));
  EXPECT_FALSE(generated_grad_weight_pays(trial.spec)) << "36 products for each word";
}

}  // namespace
}  // namespace espalier::kernels

// GELU of the pointwise kernels against the error function in double precision.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/pointwise.h"
#include "kernels/simd.h"

namespace espalier::kernels {
namespace {

std::vector<float> applied(ScalarCode code, const std::vector<float>& x) {
  limit_instruction_set();
  std::vector<float> y(x.size());
  apply_scalar({code}, x.data(), y.data(), x.size());
  return y;
}

std::vector<float> gelu(const std::vector<float>& x) { return applied(ScalarCode::kGelu, x); }

TEST(Gelu, IsWithinAMillionthEverywhere) {
  std::vector<float> x;
  for (int i = -200000; i <= 200000; ++i) x.push_back(float(i) * 5e-5f);
  const auto y = gelu(x);
  for (size_t i = 0; i < x.size(); ++i) {
    const double v = double(x[i]), want = v * 0.5 * std::erfc(-v / std::sqrt(2.0));
    ASSERT_NEAR(y[i], want, 7e-7 + 1.2e-7 * std::abs(want)) << x[i];
  }
}

TEST(Gelu, IsItsOperandOrNothingFarFromZero) {
  const float infinity = std::numeric_limits<float>::infinity();
  const auto y = gelu({1e30f, -1e30f, 6, -6, infinity, std::nanf(""), 0, 1e-30f});
  EXPECT_EQ(y[0], 1e30f);
  EXPECT_EQ(y[1], 0);
  EXPECT_EQ(y[2], 6);
  EXPECT_EQ(y[3], 0);
  EXPECT_EQ(y[4], infinity);
  EXPECT_TRUE(std::isnan(y[5]));
  EXPECT_EQ(y[6], 0);
  EXPECT_FLOAT_EQ(y[7], 5e-31f);
}

TEST(GeluSlope, IsWithinTwoMillionthsEverywhere) {
  std::vector<float> x;
  for (int i = -30000; i <= 30000; ++i) x.push_back(float(i) * 5e-4f);
  for (const ScalarCode code : {ScalarCode::kGeluSlope, ScalarCode::kGeluTanhSlope}) {
    const auto y = applied(code, x);
    for (size_t i = 0; i < x.size(); ++i)
      ASSERT_NEAR(y[i], evaluate({code}, double(x[i])), 2e-6) << x[i] << " " << int(code);
  }
}

// What is evaluated in double is the derivative of what is evaluated in double.
TEST(GeluSlope, IsTheSlope) {
  const double h = 1e-5;
  for (double x = -6; x <= 6; x += 0.01) {
    for (const auto& [f, slope] : {std::pair(ScalarCode::kGelu, ScalarCode::kGeluSlope),
                                   std::pair(ScalarCode::kGeluTanh, ScalarCode::kGeluTanhSlope)})
      ASSERT_NEAR(evaluate({slope}, x), (evaluate({f}, x + h) - evaluate({f}, x - h)) / (2 * h),
                  1e-8)
          << x;
  }
}

TEST(GeluSlope, IsOneOrNothingFarFromZero) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const ScalarCode code : {ScalarCode::kGeluSlope, ScalarCode::kGeluTanhSlope}) {
    const auto y = applied(code, {infinity, 1e30f, -1e30f, -infinity, 0, std::nanf("")});
    const auto near = [](float v) { return ::testing::FloatNear(v, 1e-30f); };
    EXPECT_THAT(std::vector(y.begin(), y.end() - 1),
                ::testing::ElementsAre(1, 1, near(0), near(0), 0.5f));
    EXPECT_TRUE(std::isnan(y.back()));
  }
}

}  // namespace
}  // namespace espalier::kernels

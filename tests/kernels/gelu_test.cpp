// GELU of the pointwise kernels against the error function in double precision.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/pointwise.h"
#include "kernels/simd.h"

namespace espalier::kernels {
namespace {

std::vector<float> gelu(const std::vector<float>& x) {
  limit_instruction_set();
  std::vector<float> y(x.size());
  apply_scalar({ScalarCode::kGelu}, x.data(), y.data(), x.size());
  return y;
}

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

}  // namespace
}  // namespace espalier::kernels

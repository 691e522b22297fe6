// Operations on rows where f32 is at its limits.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/rows.h"

namespace espalier::kernels {
namespace {

// By hand: -log p of the largest of three is log(1 + e^-a + e^-b).
TEST(CrossEntropy, KeepsTheLossOfASureAnswer) {
  for (const float gap : {2.0f, 8.0f, 12.4f, 16.0f, 24.0f, 60.0f}) {
    const std::vector<float> x = {700.0f - gap, 700.0f, 699.0f - gap};
    const std::vector<int64_t> labels = {1};
    std::vector<float> log_p(3);
    float loss = 0;
    ASSERT_EQ(
        cross_entropy({DType::f32, 1, 3}, x.data(), labels.data(), 0, &loss, log_p.data(), nullptr),
        -1);
    const double others = std::exp(double(x[0]) - 700) + std::exp(double(x[2]) - 700);
    const double expected = std::log1p(others);
    EXPECT_NEAR(double(loss), expected, 1e-6 * expected) << gap;
    EXPECT_NEAR(double(log_p[0]), double(x[0]) - 700 - expected, 1e-6 * double(gap)) << gap;
  }
}

TEST(LogSoftmax, IsNoNumberWhereOneElementIsNone) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (size_t at : {size_t{0}, size_t{2}, size_t{18}}) {
    std::vector<float> x(19, 0.5f), y(19);
    x[at] = nan;
    log_softmax_rows({DType::f32, 1, 19}, x.data(), y.data());
    for (float v : y) EXPECT_TRUE(std::isnan(v)) << at;
  }
}

}  // namespace
}  // namespace espalier::kernels

// Batch normalisation against plain loops in double, where the mean is large beside the deviation.
#include "kernels/batch_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/rng.h"

namespace espalier::kernels {
namespace {

constexpr int64_t kRows = 300, kChannels = 19;
constexpr double kEpsilon = 1e-5;

struct Data {
  std::vector<float> x = std::vector<float>(size_t(kRows * kChannels)), dy = x;
  std::vector<float> scale = std::vector<float>(size_t(kChannels)), bias = scale;

  explicit Data(double mean) {
    const Rng rng(3, 1), other(3, 2);
    for (size_t i = 0; i < x.size(); ++i) {
      x[i] = float(mean + rng.uniform(i, -0.1, 0.1));
      dy[i] = float(other.uniform(i, -1, 1));
    }
    for (size_t c = 0; c < scale.size(); ++c) {
      scale[c] = 0.5f + float(c) / 10;
      bias[c] = float(c) - 7;
    }
  }
  double mean(int64_t c) const {
    double sum = 0;
    for (int64_t r = 0; r < kRows; ++r) sum += double(x[size_t(r * kChannels + c)]);
    return sum / double(kRows);
  }
  double inv_std(int64_t c) const {
    double sum = 0;
    for (int64_t r = 0; r < kRows; ++r)
      sum += std::pow(double(x[size_t(r * kChannels + c)]) - mean(c), 2);
    return 1 / std::sqrt(sum / double(kRows) + kEpsilon);
  }
};

TEST(BatchNorm, LosesNothingToALargeMean) {
  for (const double mean : {0.0, 100.0, -3000.0}) {
    SCOPED_TRACE(mean);
    const Data in(mean);
    const BatchNormShape shape{.type = DType::f32, .rows = kRows, .channels = kChannels};
    std::vector<char> scratch(batch_norm_scratch(shape));
    std::vector<float> y(in.x.size()), dx(y), saved_mean(in.scale), saved_inv(in.scale);
    BatchNormForward f{};
    f.x = in.x.data();
    f.scale = in.scale.data();
    f.bias = in.bias.data();
    f.epsilon = float(kEpsilon);
    f.y = y.data();
    f.saved_mean = saved_mean.data();
    f.saved_inv_std = saved_inv.data();
    batch_norm_forward(shape, f, scratch.data());
    BatchNormBackward b{};
    b.x = in.x.data();
    b.dy = in.dy.data();
    b.scale = in.scale.data();
    b.mean = saved_mean.data();
    b.inv_std = saved_inv.data();
    b.dx = dx.data();
    batch_norm_backward(shape, b, scratch.data());
    for (int64_t c = 0; c < kChannels; ++c) {
      const double m = in.mean(c), inv = in.inv_std(c), gain = double(in.scale[size_t(c)]) * inv;
      double sum = 0, product = 0;
      for (int64_t r = 0; r < kRows; ++r) {
        const auto at = size_t(r * kChannels + c);
        sum += double(in.dy[at]);
        product += double(in.dy[at]) * (double(in.x[at]) - m) * inv;
      }
      for (int64_t r = 0; r < kRows; ++r) {
        const auto at = size_t(r * kChannels + c);
        const double h = (double(in.x[at]) - m) * inv;
        ASSERT_NEAR(y[at], double(in.scale[size_t(c)]) * h + double(in.bias[size_t(c)]), 1e-5);
        // The saved mean is rounded to f32, half a unit in its last place.
        const double lost = std::abs(m) * 6e-8 * inv;
        ASSERT_NEAR(dx[at], gain * (double(in.dy[at]) - (sum + h * product) / kRows),
                    2e-6 * gain + gain * lost * (std::abs(product) / kRows + 0.1));
      }
    }
  }
}

}  // namespace
}  // namespace espalier::kernels

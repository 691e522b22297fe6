// Unified normalisation over steps: smoothed, filtered and differentiated as plain loops do it.
#include "ops/normalization/unified_normalization.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "ir/interpret.h"
#include "ops/catalogue.h"

namespace espalier {
namespace {

using ops::UnifiedNormalization;
using Numbers = std::vector<double>;

constexpr int64_t kTokens = 6, kChannels = 3;

/// What a step leaves behind, as plain lists.
struct Plain {
  UnifiedNormalization a;
  Numbers running = Numbers(kChannels, 1), moving = Numbers(kChannels, 0);
  std::vector<Numbers> window, gradients;  ///< newest first
  int64_t steps = 0, skips = 0;
  // Of the last step.
  bool own = false, skipped = false;
  Numbers used, ratio;

  explicit Plain(const UnifiedNormalization& attributes)
      : a(attributes),
        window(size_t(a.window), Numbers(kChannels, 0)),
        gradients(size_t(a.window), Numbers(kChannels, 0)) {}

  Numbers forward(const Numbers& x, const Numbers& scale, const Numbers& bias) {
    ++steps;
    Numbers square(kChannels, 0), roots;
    for (size_t i = 0; i < x.size(); ++i) square[i % kChannels] += x[i] * x[i] / kTokens;
    double mean = 0, variance = 0;
    for (const Numbers& row : window)
      for (double v : row) roots.push_back(std::sqrt(v));
    for (double r : roots) mean += r / double(roots.size());
    for (double r : roots) variance += (r - mean) * (r - mean) / double(roots.size());
    const std::vector<Numbers> before = window;
    window.insert(window.begin(), square);
    window.pop_back();
    const bool warm = steps <= std::max(a.warmup, a.window);
    Numbers geometric(kChannels, 0);
    skipped = false;
    for (size_t c = 0; c < kChannels; ++c) {
      double arithmetic = 0, logarithm = 0;
      for (const Numbers& row : window) {
        arithmetic += row[c] / double(a.window);
        logarithm += std::log(std::max(row[c], 1e-30)) / double(a.window);
      }
      geometric[c] = std::exp(logarithm);
      skipped =
          skipped || (a.filter && !warm && arithmetic - geometric[c] > double(a.window) * variance);
    }
    own = warm || skipped;
    used = own ? square : geometric;
    ratio = Numbers(kChannels, 1);
    if (!own)
      for (size_t c = 0; c < kChannels; ++c)
        ratio[c] = std::clamp(
            std::sqrt((used[c] + double(a.epsilon)) / (running[c] + double(a.epsilon))), 0.2, 5.0);
    if (skipped) window[0] = running;
    skips += skipped;
    for (size_t c = 0; c < kChannels; ++c)
      running[c] = double(a.momentum) * running[c] + (1 - double(a.momentum)) * used[c];
    Numbers y(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      const size_t c = i % kChannels;
      y[i] = scale[c] * x[i] / std::sqrt(used[c] + double(a.epsilon)) + bias[c];
    }
    return y;
  }

  struct Gradients {
    Numbers x, scale, bias;
  };
  Gradients backward(const Numbers& x, const Numbers& dy, const Numbers& scale) {
    Gradients d{Numbers(x.size()), Numbers(kChannels, 0), Numbers(kChannels, 0)};
    Numbers inv(kChannels), product(kChannels, 0);
    for (size_t c = 0; c < kChannels; ++c) inv[c] = 1 / std::sqrt(used[c] + double(a.epsilon));
    for (size_t i = 0; i < x.size(); ++i) {
      const size_t c = i % kChannels;
      const double z = x[i] * inv[c];
      product[c] += ratio[c] * scale[c] * dy[i] * z / kTokens;
      d.scale[c] += dy[i] * ratio[c] * z;
      d.bias[c] += dy[i];
    }
    gradients.insert(gradients.begin(), skipped ? moving : product);
    gradients.pop_back();
    for (size_t c = 0; c < kChannels; ++c) {
      double smooth = 0;
      for (const Numbers& row : gradients) smooth += row[c] / double(a.window);
      moving[c] =
          double(a.momentum) * moving[c] + (1 - double(a.momentum)) * (own ? product[c] : smooth);
    }
    for (size_t i = 0; i < x.size(); ++i) {
      const size_t c = i % kChannels;
      const double z = x[i] * inv[c];
      d.x[i] = inv[c] * (ratio[c] * scale[c] * dy[i] - z * (own ? product[c] : moving[c]));
    }
    return d;
  }
};

Numbers drawn(const std::string& name, int64_t count, double scale) {
  const Rng rng(4, stream_of(name));
  Numbers v;
  for (int64_t i = 0; i < count; ++i) v.push_back(scale * rng.normal(uint64_t(i)));
  return v;
}

Tensor tensor(Shape shape, const Numbers& values) {
  return Tensor::from<double>(std::move(shape), std::span<const double>(values));
}

void expect_near(const Tensor& got, const Numbers& want, const std::string& what) {
  ASSERT_EQ(got.size(), int64_t(want.size())) << what;
  for (int64_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(got.at(i), want[size_t(i)], 1e-9) << what << " " << i;
}

/// Runs both for some steps, the eighth with inputs `burst` times as large.
Plain run_and_compare(const UnifiedNormalization& a, double burst) {
  Graph g;
  const auto input = [&](const char* name, Shape shape) {
    return g.add_input(name, TensorType(DType::f64, std::move(shape)));
  };
  const ValueId x = input("x", {2, 3, kChannels}), scale = input("scale", {kChannels}),
                bias = input("bias", {kChannels}), running = input("running", {kChannels}),
                statistics = input("statistics", {a.window + ops::kWindow, kChannels}),
                own = input("own", {a.window + ops::kGradientWindow, kChannels}),
                dy = input("dy", {2, 3, kChannels});
  Builder b(g);
  const Values y = b.op(ops::unified_normalization(), Attributes::of(a),
                        {x, scale, bias, running, statistics, own});
  const Values d =
      b.op(ops::unified_norm_grad(), Attributes::of(a), {dy, x, scale, y[2], statistics, own});
  for (const Values* results : {&y, &d})
    for (ValueId v : *results) g.add_output(v);

  Plain plain(a);
  const Numbers gain = drawn("gain", kChannels, 1), offset = drawn("offset", kChannels, 1);
  Tensor now_running = tensor({kChannels}, Numbers(kChannels, 1)),
         now_statistics(DType::f64, {a.window + ops::kWindow, kChannels}),
         now_own(DType::f64, {a.window + ops::kGradientWindow, kChannels});
  for (int step = 0; step < 12; ++step) {
    const std::string at = std::to_string(step);
    const Numbers values = drawn("x" + at, kTokens * kChannels, step == 7 ? burst : 1),
                  above = drawn("dy" + at, kTokens * kChannels, 1);
    const auto got = interpret(
        g, std::vector<Tensor>{tensor({2, 3, kChannels}, values), tensor({kChannels}, gain),
                               tensor({kChannels}, offset), now_running, now_statistics, now_own,
                               tensor({2, 3, kChannels}, above)});
    expect_near(got[0], plain.forward(values, gain, offset), "y of step " + at);
    expect_near(got[1], plain.running, "running of step " + at);
    const Plain::Gradients want = plain.backward(values, above, gain);
    expect_near(got[3], want.x, "dx of step " + at);
    expect_near(got[4], want.scale, "dscale of step " + at);
    expect_near(got[5], want.bias, "dbias of step " + at);
    now_running = got[1];
    now_statistics = got[2];
    now_own = got[6];
    for (int64_t c = 0; c < kChannels; ++c) {
      EXPECT_EQ(now_statistics.at(ops::kSteps * kChannels + c), double(step + 1));
      EXPECT_EQ(now_statistics.at(ops::kSkips * kChannels + c), double(plain.skips));
    }
  }
  return plain;
}

TEST(UnifiedNormalization, SmoothsAsPlainLoopsDo) {
  EXPECT_EQ(run_and_compare({1e-3f, 0.8f, 3, 5, false, true}, 1).skips, 0);
  EXPECT_EQ(run_and_compare({1e-3f, 0.9f, 1, 0, false, true}, 1).skips, 0);
}

TEST(UnifiedNormalization, FiltersAnExtraordinaryStep) {
  EXPECT_GE(run_and_compare({1e-3f, 0.8f, 3, 5, true, true}, 40).skips, 1);
  EXPECT_EQ(run_and_compare({1e-3f, 0.8f, 3, 12, true, true}, 40).skips, 0);
}

}  // namespace
}  // namespace espalier

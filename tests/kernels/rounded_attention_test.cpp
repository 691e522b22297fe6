// Attention with roundings on the way against plain loops in double precision.
#include "kernels/rounded_attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/rng.h"
#include "base/threads.h"
#include "kernels/simd.h"

namespace espalier::kernels {
namespace {

struct Case {
  RoundedAttention spec;
  std::vector<uint8_t> q, k, v;
  std::vector<float> mask;
};

std::vector<uint8_t> random_bytes(int64_t n, uint64_t stream) {
  std::vector<uint8_t> v(static_cast<size_t>(n));
  const Rng rng(5, stream);
  for (size_t i = 0; i < v.size(); ++i) v[i] = uint8_t(rng.uniform(i, 0, 256));
  return v;
}

/// Heads [batch, heads] of tensors [batch, tokens, heads, numbers].
Case projected(int64_t heads, int64_t queries, int64_t keys, int64_t size, DType type) {
  Case c;
  AttentionSpec& s = c.spec.form;
  s.heads = {2, heads};
  s.queries = queries;
  s.keys = keys;
  s.size = s.values = size;
  s.scale = 0.25f;
  const auto view = [&](int64_t tokens) {
    return AttentionSpec::View{0, {tokens * heads * size, size}, heads * size, 1};
  };
  s.q = s.y = view(queries);
  s.k = s.v = view(keys);
  // Powers of two, so that products and scores are exact and round alike.
  const bool is_signed = type == DType::i8;
  c.spec.q = Quantised{type, 0x1p-6f, is_signed ? 3 : 120};
  c.spec.k = Quantised{type, 0x1p-7f, is_signed ? -7 : 131};
  c.spec.v = Quantised{type, 0x1p-5f, is_signed ? 0 : 128};
  c.q = random_bytes(2 * heads * queries * size, 1);
  c.k = random_bytes(2 * heads * keys * size, 2);
  c.v = random_bytes(2 * heads * keys * size, 3);
  return c;
}

double stored(const std::optional<Quantised>& as, const std::vector<uint8_t>& bytes, int64_t at) {
  const uint8_t b = bytes[size_t(at)];
  return (as->type == DType::u8 ? double(b) : double(int8_t(b))) - as->zero_point;
}
double rounded(double x, const std::optional<Quantised>& as) {
  if (!as) return x;
  const double low = as->type == DType::u8 ? 0 : -128;
  const double step = std::nearbyint(x / double(as->scale)) + as->zero_point;
  return (std::clamp(step, low, low + 255) - as->zero_point) * double(as->scale);
}

std::vector<double> expected(const Case& c) {
  const AttentionSpec& s = c.spec.form;
  std::vector<double> y(c.q.size(), -77), p(static_cast<size_t>(s.keys));
  for (int64_t b = 0; b < s.heads[0]; ++b)
    for (int64_t h = 0; h < s.heads[1]; ++h)
      for (int64_t i = 0; i < s.queries; ++i) {
        const auto place = [&](const AttentionSpec::View& v, int64_t token, int64_t n) {
          return b * v.heads[0] + h * v.heads[1] + token * v.token + n * v.feature;
        };
        double top = -HUGE_VAL, total = 0;
        for (int64_t j = 0; j < s.keys; ++j) {
          double sum = 0;
          for (int64_t n = 0; n < s.size; ++n)
            sum +=
                stored(c.spec.q, c.q, place(s.q, i, n)) * stored(c.spec.k, c.k, place(s.k, j, n));
          sum *= double(c.spec.q->scale) * double(c.spec.k->scale);
          double x = rounded(rounded(sum, c.spec.product) * double(s.scale), c.spec.scaled);
          if (!c.mask.empty()) x += double(c.mask[size_t(b * s.keys + j)]);
          x = rounded(x, c.spec.masked);
          if (s.ahead && j > i + *s.ahead) x = -HUGE_VAL;
          p[size_t(j)] = x;
          top = std::max(top, x);
        }
        for (double& x : p) total += x = std::exp(x - top);
        for (double& x : p) x = rounded(x / total, c.spec.weights);
        for (int64_t n = 0; n < s.values; ++n) {
          double sum = 0;
          for (int64_t j = 0; j < s.keys; ++j)
            sum += p[size_t(j)] * stored(c.spec.v, c.v, place(s.v, j, n)) * double(c.spec.v->scale);
          y[size_t(place(s.y, i, n))] = rounded(sum, c.spec.result);
        }
      }
  return y;
}

/// Weights a rounding of which falls the other way, by the last bit of exp, are few.
void expect_agreement(const Case& c, double step) {
  limit_instruction_set();
  const auto want = expected(c);
  std::vector<float> first;
  for (int threads : {1, 3}) {
    const ThreadScope scope(threads);
    std::vector<float> y(want.size(), -77);
    AttentionOperands o{c.q.data(), c.k.data(), c.v.data(), y.data(), {}};
    if (!c.mask.empty()) o.masks[0] = c.mask.data();
    rounded_attention(c.spec, o);
    if (threads > 1) {
      EXPECT_EQ(std::memcmp(y.data(), first.data(), y.size() * sizeof(float)), 0);
    }
    size_t apart = 0;
    for (size_t i = 0; i < y.size(); ++i) {
      const double error = std::abs(double(y[i]) - want[i]);
      apart += error > 2e-5;
      ASSERT_LE(error, step) << i;
    }
    EXPECT_LE(apart, y.size() / 20 + 2);
    first = std::move(y);
  }
}

// The largest value is 4, so that a weight's step moves a result by less than this.
constexpr double kWeightStep = 4.0 / 255 + 1e-4;

TEST(RoundedAttention, AgreesWithPlainLoops) {
  for (const DType type : {DType::u8, DType::i8})
    for (const auto& [queries, keys, size] :
         {std::array<int64_t, 3>{1, 1, 1}, {7, 30, 20}, {67, 70, 33}, {130, 201, 8}}) {
      SCOPED_TRACE(queries);
      Case c = projected(3, queries, keys, size, type);
      expect_agreement(c, 1e-4);  // dequantised only
      c.spec.product = Quantised{DType::u8, 0.0625f, 99};
      expect_agreement(c, 1e-4);
      c.spec.scaled = Quantised{DType::i8, 0.03125f, 2};
      c.mask = std::vector<float>(size_t(2 * keys));
      for (size_t i = 0; i < c.mask.size(); ++i) c.mask[i] = i % 5 == 0 ? -3.0f : 0.25f;
      c.spec.form.masks = {{0, {keys, 0}, 0, 1}};
      expect_agreement(c, 1e-4);
      c.spec.masked = Quantised{DType::u8, 0.0625f, 128};
      c.spec.weights = Quantised{DType::u8, 1.0f / 255, 0};
      expect_agreement(c, kWeightStep);
      c.spec.result = Quantised{DType::u8, 0.125f, 128};
      expect_agreement(c, kWeightStep + 0.125);
    }
}

TEST(RoundedAttention, HidesWhatLiesAhead) {
  Case c = projected(2, 40, 45, 16, DType::u8);
  c.spec.form.ahead = 5;
  c.spec.product = Quantised{DType::u8, 0.0625f, 128};
  expect_agreement(c, 1e-4);
}

TEST(RoundedAttention, IsStoredAsIntegers) {
  Case c = projected(2, 21, 33, 16, DType::u8);
  c.spec.weights = Quantised{DType::u8, 1.0f / 255, 0};
  std::vector<float> real(c.q.size());
  rounded_attention(c.spec, {c.q.data(), c.k.data(), c.v.data(), real.data(), {}});
  c.spec.form.quantised = Quantised{DType::i8, 0.03125f, -4};
  std::vector<int8_t> y(c.q.size());
  rounded_attention(c.spec, {c.q.data(), c.k.data(), c.v.data(), y.data(), {}});
  for (size_t i = 0; i < y.size(); ++i)
    ASSERT_EQ(double(y[i]), std::clamp(std::nearbyint(double(real[i]) * 32) - 4, -128.0, 127.0));
}

}  // namespace
}  // namespace espalier::kernels

// The attention kernel against plain loops in double precision.
#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/rng.h"
#include "base/threads.h"
#include "kernels/simd.h"

namespace espalier::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Case {
  AttentionSpec spec;
  std::vector<float> q, k, v;
  std::vector<std::vector<float>> masks;
  size_t result = 0;  ///< elements
};

std::vector<float> random_numbers(int64_t n, uint64_t stream) {
  std::vector<float> v(static_cast<size_t>(n));
  const Rng rng(11, stream);
  for (size_t i = 0; i < v.size(); ++i) v[i] = float(bfloat16(float(rng.normal(i))));
  return v;
}

/// Heads [batch, heads] of tensors [batch, tokens, heads, numbers], as projections leave them.
Case projected(int64_t batch, int64_t heads, int64_t queries, int64_t keys, int64_t size,
               int64_t values) {
  Case c;
  AttentionSpec& s = c.spec;
  s.heads = {batch, heads};
  s.queries = queries;
  s.keys = keys;
  s.size = size;
  s.values = values;
  s.scale = 1 / std::sqrt(float(size));
  const auto view = [&](int64_t tokens, int64_t numbers) {
    return AttentionSpec::View{0, {tokens * heads * numbers, numbers}, heads * numbers, 1};
  };
  s.q = view(queries, size);
  s.k = view(keys, size);
  s.v = view(keys, values);
  s.y = view(queries, values);
  c.q = random_numbers(batch * heads * queries * size, 0);
  c.k = random_numbers(batch * heads * keys * size, 1);
  c.v = random_numbers(batch * heads * keys * values, 2);
  c.result = size_t(batch * heads * queries * values);
  return c;
}

int64_t place(const std::vector<int64_t>& strides, const std::vector<int64_t>& at) {
  int64_t offset = 0;
  for (size_t i = 0; i < strides.size(); ++i) offset += strides[i] * at[i];
  return offset;
}

std::vector<double> expected(const Case& c) {
  const AttentionSpec& s = c.spec;
  std::vector<double> y(c.result, -77), p(static_cast<size_t>(s.keys));
  for (int64_t b = 0; b < s.heads[0]; ++b)
    for (int64_t h = 0; h < s.heads[1]; ++h)
      for (int64_t i = 0; i < s.queries; ++i) {
        const std::vector<int64_t> at = {b, h};
        double top = -HUGE_VAL, total = 0;
        for (int64_t j = 0; j < s.keys; ++j) {
          double sum = 0;
          for (int64_t n = 0; n < s.size; ++n)
            sum += double(c.q[size_t(s.q.offset + place(s.q.heads, at) + i * s.q.token +
                                     n * s.q.feature)]) *
                   double(c.k[size_t(s.k.offset + place(s.k.heads, at) + j * s.k.token +
                                     n * s.k.feature)]);
          sum *= double(s.scale);
          for (size_t m = 0; m < s.masks.size(); ++m)
            sum += double(c.masks[m][size_t(s.masks[m].offset + place(s.masks[m].heads, at) +
                                            i * s.masks[m].query + j * s.masks[m].key)]);
          if (s.ahead && j > i + *s.ahead) sum = -HUGE_VAL;
          p[size_t(j)] = sum;
          top = std::max(top, sum);
        }
        for (double& x : p) total += x = std::exp(x - top);
        for (int64_t n = 0; n < s.values; ++n) {
          double sum = 0;
          for (int64_t j = 0; j < s.keys; ++j)
            if (p[size_t(j)] != 0)
              sum += p[size_t(j)] * double(c.v[size_t(s.v.offset + place(s.v.heads, at) +
                                                      j * s.v.token + n * s.v.feature)]);
          y[size_t(s.y.offset + place(s.y.heads, at) + i * s.y.token + n * s.y.feature)] =
              sum / total;
        }
      }
  return y;
}

template <class T>
std::vector<T> narrowed(const std::vector<float>& v) {
  std::vector<T> out;
  for (float x : v) out.push_back(T(x));
  return out;
}

template <class T>
std::vector<float> run_as(const Case& c) {
  const auto q = narrowed<T>(c.q), k = narrowed<T>(c.k), v = narrowed<T>(c.v);
  std::vector<std::vector<T>> masks;
  for (const auto& m : c.masks) masks.push_back(narrowed<T>(m));
  std::vector<T> y(c.result, T(-77));
  AttentionOperands o{q.data(), k.data(), v.data(), y.data(), {}};
  for (size_t i = 0; i < masks.size(); ++i) o.masks[i] = masks[i].data();
  attention(c.spec, o);
  std::vector<float> wide;
  for (T x : y) wide.push_back(float(x));
  return wide;
}

std::vector<float> run(Case& c, DType type = DType::f32) {
  limit_instruction_set();
  c.spec.type = type;
  std::vector<float> first;
  for (int threads : {1, 2, 3}) {
    const ThreadScope scope(threads);
    auto y = type == DType::f32 ? run_as<float>(c) : run_as<bfloat16>(c);
    if (threads > 1) {
      EXPECT_EQ(std::memcmp(y.data(), first.data(), y.size() * sizeof(float)), 0)
          << "the result depends on the number of threads";
    }
    first = std::move(y);
  }
  return first;
}

void expect_agreement(Case c, const std::string& what) {
  const auto want = expected(c);
  for (DType type : {DType::f32, DType::bf16}) {
    const auto got = run(c, type);
    const double tolerance = type == DType::f32 ? 1e-5 : 1e-2;
    double worst = 0;
    for (size_t i = 0; i < got.size(); ++i)
      worst = std::max(worst, std::abs(double(got[i]) - want[i]) / (1 + std::abs(want[i])));
    EXPECT_LT(worst, tolerance) << what << " as " << name_of(type);
  }
}

void add_mask(Case& c, bool by_query, bool by_head) {
  const AttentionSpec& s = c.spec;
  const int64_t rows = by_query ? s.queries : 1, heads = by_head ? s.heads[1] : 1;
  AttentionSpec::Mask m;
  m.heads = {heads * rows * s.keys, by_head ? rows * s.keys : 0};
  m.query = by_query ? s.keys : 0;
  m.key = 1;
  c.spec.masks.push_back(m);
  c.masks.push_back(random_numbers(s.heads[0] * heads * rows * s.keys, 10 + c.masks.size()));
}

TEST(Attention, AgreesWithPlainLoopsOnRandomShapes) {
  const Rng rng(3, 0);
  uint64_t draw = 0;
  const auto from = [&](int64_t low, int64_t high) {
    return low + int64_t(rng.uniform(draw++, 0, double(high - low + 1)));
  };
  for (int round = 0; round < 60; ++round) {
    const int64_t queries = round % 4 == 0 ? from(1, 5) : from(1, 150);
    Case c = projected(from(1, 2), from(1, 3), queries, from(1, round % 5 == 0 ? 1300 : 200),
                       from(1, 80), from(1, 80));
    const int64_t masks = from(0, 3);
    for (int64_t i = 0; i < masks; ++i) add_mask(c, from(0, 1) == 1, from(0, 1) == 1);
    if (from(0, 2) == 0) c.spec.ahead = from(0, c.spec.keys - 1);
    expect_agreement(std::move(c), "round " + std::to_string(round));
  }
}

TEST(Attention, ReadsAndWritesWhereverElementsLie) {
  for (int64_t queries : {3, 70}) {
    // Numbers before tokens, keys shared by all heads, parts of one packed tensor.
    Case c = projected(2, 3, queries, 37, 20, 20);
    const int64_t packed = 3 * 60;
    c.q = random_numbers(2 * queries * packed, 5);
    c.spec.q = {60, {queries * packed, 20}, packed, 1};
    c.k = random_numbers(2 * 20 * 37, 6);
    c.spec.k = {0, {20 * 37, 0}, 1, 37};
    c.spec.v = {5, {37 * 20, 0}, 1, 37};
    c.v = random_numbers(2 * 37 * 20 + 5, 7);
    c.spec.y = {0, {60 * queries, 20 * queries}, 1, queries};
    expect_agreement(std::move(c), std::to_string(queries) + " queries");
  }
}

TEST(Attention, LargeScoresDoNotOverflow) {
  for (int64_t queries : {2, 40}) {
    Case c = projected(1, 1, queries, 200, 8, 8);
    for (float& x : c.k) x *= 1e4f;
    for (float& x : c.q) x *= 1e3f;
    const auto want = expected(c);
    const auto got = run(c);
    for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-3) << i;
  }
}

TEST(Attention, KeysBehindInfiniteMasksDoNotCount) {
  for (int64_t queries : {1, 33}) {
    Case c = projected(1, 2, queries, 300, 16, 16);
    add_mask(c, false, false);
    // The first blocks of keys are masked altogether.
    for (size_t i = 0; i < 250; ++i) c.masks[0][i] = -kInfinity;
    expect_agreement(c, "masked");
    // Nothing left: 0 / 0, as softmax of nothing is.
    for (float& x : c.masks[0]) x = -kInfinity;
    for (float y : run(c)) ASSERT_TRUE(std::isnan(y));
  }
}

TEST(Attention, NanStaysWithItsQueries) {
  for (int64_t queries : {4, 50}) {
    Case c = projected(1, 1, queries, 90, 8, 8);
    c.q[size_t(c.spec.q.token)] = std::numeric_limits<float>::quiet_NaN();
    const auto y = run(c);
    for (int64_t i = 0; i < queries; ++i)
      for (int64_t n = 0; n < 8; ++n)
        EXPECT_EQ(std::isnan(y[size_t(i * 8 + n)]), i == 1) << i << " " << n;
  }
}

TEST(Attention, StoredAsIntegersItIsWhatItIsInFloatRounded) {
  for (int64_t queries : {1, 3, 16, 67})
    for (const DType type : {DType::u8, DType::i8}) {
      Case c = projected(2, 3, queries, 45, 20, 21);
      const auto real = run(c);
      const Quantised to{type, 0.01f, type == DType::u8 ? 100 : -7};
      const double low = type == DType::u8 ? 0 : -128, high = type == DType::u8 ? 255 : 127;
      c.spec.quantised = to;
      std::vector<uint8_t> y(c.result);
      attention(c.spec, {c.q.data(), c.k.data(), c.v.data(), y.data(), {}});
      for (size_t i = 0; i < y.size(); ++i) {
        const double want = std::nearbyint(double(real[i] * (1 / to.scale))) + to.zero_point;
        const double got = type == DType::u8 ? double(y[i]) : double(int8_t(y[i]));
        ASSERT_EQ(got, std::clamp(want, low, high)) << i << " of " << queries << " queries";
      }
    }
}

}  // namespace
}  // namespace espalier::kernels

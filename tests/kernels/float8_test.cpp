// Vectors of 8-bit floats against the formats' own functions, one element at a time.
#include "kernels/float8.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/rng.h"
#include "base/threads.h"

namespace espalier {
namespace {

struct Stored {
  std::vector<uint8_t> codes;
  std::vector<bfloat16> beside;
};

Stored stored(const std::vector<float>& x, const Float8Groups& g) {
  const auto n = int64_t(x.size());
  Stored s{std::vector<uint8_t>(x.size()), std::vector<bfloat16>(size_t(g.count(n) * g.beside()))};
  kernels::store_float8(n, g, DType::f32, x.data(), s.codes.data(), s.beside.data());
  return s;
}

std::vector<float> read(const Stored& s, const Float8Groups& g) {
  std::vector<float> y(s.codes.size());
  kernels::load_float8(int64_t(y.size()), g, s.codes.data(), s.beside.data(), DType::f32, y.data());
  return y;
}

/// Normal numbers whose magnitudes spread over `decades`.
std::vector<float> numbers(size_t n, double decades, uint64_t seed) {
  const Rng rng(seed, 3);
  std::vector<float> x(n);
  for (size_t i = 0; i < n; ++i)
    x[i] = float(rng.normal(2 * i) * std::pow(10.0, -rng.uniform(2 * i + 1, 0, decades)));
  return x;
}

/// Numbers that a scale of 448 leaves as they are: every code, and the middles between them.
TEST(Float8Kernels, EveryCodeAndEveryMiddle) {
  for (const Float8Format* f : {&kE4M3, &kE5M2}) {
    std::vector<float> x = {f->most};
    for (int code = 0; code < f->top; ++code)
      for (const float sign : {1.0f, -1.0f}) {
        const float low = f->decode(uint8_t(code)), high = f->decode(uint8_t(code + 1));
        x.push_back(sign * low);
        x.push_back(sign * (low + high) / 2);
        x.push_back(sign * std::nextafter((low + high) / 2, 1e9f));
      }
    const Float8Groups all = {f, 0, false};
    const Stored s = stored(x, all);
    const std::vector<float> y = read(s, all);
    EXPECT_EQ(float(s.beside[0]), f->most);
    for (size_t i = 0; i < x.size(); ++i) {
      EXPECT_EQ(s.codes[i], f->encode(x[i])) << f->name << " " << x[i];
      EXPECT_EQ(y[i], f->decode(s.codes[i])) << f->name << " " << x[i];
    }
  }
}

TEST(Float8Kernels, GroupsHaveScalesOfTheirOwn) {
  for (const int64_t length : {16, 128, 24})
    for (const size_t n : {1, 15, 16, 300, 1000}) {
      const Float8Groups g = {&kE4M3, length, false};
      const std::vector<float> x = numbers(n, 1, n);
      const Stored s = stored(x, g);
      const std::vector<float> y = read(s, g);
      for (size_t i = 0; i < n; ++i) {
        const size_t first = i - i % size_t(length), end = std::min(n, first + size_t(length));
        float most = 0;
        for (size_t k = first; k < end; ++k) most = std::max(most, std::abs(x[k]));
        const float scale = float(group_scale(most));
        EXPECT_EQ(float(s.beside[i / size_t(length)]), scale);
        EXPECT_EQ(s.codes[i], kE4M3.encode(x[i] * (448 / scale)));
        // Half a unit in the last place, or half of the smallest number.
        EXPECT_NEAR(y[i], x[i],
                    std::max(std::abs(x[i]) / 16, scale / 448 * kE4M3.least / 2) * 1.001f);
      }
    }
}

/// Seven decades: without a power what is small is lost, with one it keeps its size.
TEST(Float8Kernels, ExpansionKeepsWhatIsSmall) {
  const Float8Groups plain = {&kE4M3, 128, false}, expanded = {&kE4M3, 128, true};
  std::vector<float> x = numbers(4096, 7, 2);
  for (float& v : x) v *= 1e-9f;
  const auto worst = [&](const Float8Groups& g) {
    const std::vector<float> y = read(stored(x, g), g);
    double most = 0;
    for (size_t i = 0; i < x.size(); ++i)
      most = std::max(most, std::abs(double(y[i]) / double(x[i]) - 1));
    return most;
  };
  EXPECT_EQ(worst(plain), 1);  // zero
  // k is about 0.7: half a step of the smallest codes is a third of them, to the power 1 / k.
  EXPECT_LT(worst(expanded), 0.75);
  double sum = 0;
  const std::vector<float> y = read(stored(x, expanded), expanded);
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(std::signbit(y[i]), std::signbit(x[i]));
    sum += std::abs(double(y[i]) / double(x[i]) - 1);
  }
  EXPECT_LT(sum / double(x.size()), 0.06);
}

/// Two decades: a power above 1 uses codes that would lie idle.
TEST(Float8Kernels, ExpansionSharpensNarrowRanges) {
  const std::vector<float> x = [] {
    std::vector<float> v = numbers(4096, 0, 5);
    for (float& a : v) a = 1 + 0.2f * std::tanh(a);
    return v;
  }();
  const auto error = [&](const Float8Groups& g) {
    const std::vector<float> y = read(stored(x, g), g);
    double sum = 0;
    for (size_t i = 0; i < x.size(); ++i) sum += std::abs(double(y[i]) - double(x[i]));
    return sum;
  };
  EXPECT_LT(error({&kE4M3, 128, true}), 0.2 * error({&kE4M3, 128, false}));
}

TEST(Float8Kernels, WhatIsNotFiniteMakesItsGroupNan) {
  for (const bool expand : {false, true})
    for (const float odd : {float(NAN), float(INFINITY)}) {
      const Float8Groups g = {&kE4M3, 16, expand};
      std::vector<float> x = numbers(48, 1, 4);
      x[20] = odd;
      const std::vector<float> y = read(stored(x, g), g);
      for (size_t i = 0; i < 48; ++i) EXPECT_EQ(std::isnan(y[i]), i / 16 == 1) << i;
    }
}

TEST(Float8Kernels, ZerosStayZeros) {
  for (const bool expand : {false, true}) {
    const Float8Groups g = {&kE4M3, 16, expand};
    std::vector<float> x(40, 0.0f);
    x[33] = 2;
    const std::vector<float> y = read(stored(x, g), g);
    for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(y[i], x[i]);
    // As states begin: no code, no scale, no power.
    const Stored fresh{std::vector<uint8_t>(40, 0), std::vector<bfloat16>(6)};
    for (const float v : read(fresh, g)) EXPECT_EQ(v, 0);
  }
}

TEST(Float8Kernels, NarrowNumbersAreStoredAsTheyAre) {
  const std::vector<float> x = numbers(100, 2, 9);
  std::vector<bfloat16> narrow;
  std::vector<float> rounded;
  for (float v : x) {
    narrow.emplace_back(v);
    rounded.push_back(float(narrow.back()));
  }
  const Float8Groups g = {&kE5M2, 16, true};
  const Stored wide = stored(rounded, g);
  Stored s{std::vector<uint8_t>(100), std::vector<bfloat16>(wide.beside.size())};
  kernels::store_float8(100, g, DType::bf16, narrow.data(), s.codes.data(), s.beside.data());
  EXPECT_EQ(s.codes, wide.codes);
  std::vector<bfloat16> y(100);
  kernels::load_float8(100, g, s.codes.data(), s.beside.data(), DType::bf16, y.data());
  const std::vector<float> back = read(wide, g);
  for (size_t i = 0; i < 100; ++i) EXPECT_EQ(float(y[i]), float(bfloat16(back[i])));
}

TEST(Float8Kernels, TheSameOnAnyNumberOfThreads) {
  const std::vector<float> x = numbers(100000, 4, 8);
  for (const Float8Groups& g : {Float8Groups{&kE4M3, 0, true}, Float8Groups{&kE4M3, 128, true}}) {
    Stored one, two;
    {
      const ThreadScope threads(1);
      one = stored(x, g);
    }
    {
      const ThreadScope threads(2);
      two = stored(x, g);
    }
    EXPECT_EQ(one.codes, two.codes);
    EXPECT_EQ(read(one, g), read(two, g));
  }
}

}  // namespace
}  // namespace espalier

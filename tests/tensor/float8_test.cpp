// Formats of 8 bits against what their bits say, element by element.
#include "tensor/float8.h"

#include <gtest/gtest.h>

#include <cmath>

namespace espalier {
namespace {

/// A code read bit by bit.
double meaning(const Float8Format& f, int code) {
  const int magnitude = code & 0x7F, exponent = magnitude >> f.mantissa;
  const int digits = magnitude & ((1 << f.mantissa) - 1), one = 1 << f.mantissa;
  const double value = exponent == 0 ? std::ldexp(digits, 1 - f.bias - f.mantissa)
                                     : std::ldexp(one + digits, exponent - f.bias - f.mantissa);
  return code & 0x80 ? -value : value;
}

TEST(Float8, CodesMeanWhatTheirBitsSay) {
  for (const Float8Format& f : {kE4M3, kE5M2}) {
    for (int code = 0; code < 256; ++code) {
      const float value = f.decode(uint8_t(code));
      if ((code & 0x7F) > f.top) {
        const bool infinite = f.infinities && (code & 0x7F) == f.top + 1;
        EXPECT_EQ(std::isinf(value), infinite) << code;
        EXPECT_EQ(std::isnan(value), !infinite) << code;
        continue;
      }
      EXPECT_EQ(double(value), meaning(f, code)) << f.name << " " << code;
      EXPECT_EQ(f.encode(value), code) << f.name;
    }
    EXPECT_EQ(f.decode(f.top), f.most);
    EXPECT_EQ(f.decode(1), f.least);
  }
  EXPECT_EQ(kE4M3.most, 448);
  EXPECT_EQ(kE5M2.most, 57344);
}

/// Between every two neighbours: below the middle, at it, above it.
TEST(Float8, RoundsToNearestHalvesToEven) {
  for (const Float8Format& f : {kE4M3, kE5M2})
    for (int code = 0; code < f.top; ++code) {
      const float low = f.decode(uint8_t(code)), high = f.decode(uint8_t(code + 1));
      const float middle = (low + high) / 2;
      for (const float sign : {1.0f, -1.0f}) {
        const int bit = sign < 0 ? 0x80 : 0;
        EXPECT_EQ(f.encode(sign * std::nextafter(middle, 0.0f)), code | bit);
        EXPECT_EQ(f.encode(sign * std::nextafter(middle, 1e9f)), (code + 1) | bit);
        EXPECT_EQ(f.encode(sign * middle), (code + code % 2) | bit) << f.name << " " << code;
      }
    }
}

TEST(Float8, SaturatesAndKeepsNan) {
  for (const Float8Format& f : {kE4M3, kE5M2}) {
    for (const float large : {f.most * 1.01f, f.most * 2, INFINITY}) {
      EXPECT_EQ(f.encode(large), f.top);
      EXPECT_EQ(f.encode(-large), f.top | 0x80);
    }
    EXPECT_TRUE(std::isnan(f.decode(f.encode(NAN))));
    EXPECT_EQ(f.encode(-0.0f), 0x80);
    EXPECT_EQ(f.encode(1e-30f), 0);
  }
}

TEST(Float8, ScalesAreNeverBelowWhatTheyScale) {
  for (const float most : {1.0f, 1.003f, 0.3f, 3.1e-9f, 7e20f}) {
    const float scale = float(group_scale(most));
    EXPECT_GE(scale, most);
    EXPECT_LE(scale, most * (1 + 0x1.0p-7f));
    EXPECT_EQ(float(group_scale(scale)), scale);
  }
  EXPECT_EQ(float(group_scale(0)), 0);
  EXPECT_TRUE(std::isnan(float(group_scale(NAN))));
}

/// With the power, the smallest still is a number of the format; with one step more it is not.
TEST(Float8, PowersFillTheRange) {
  for (const Float8Format& f : {kE4M3, kE5M2})
    for (const float least : {0.9f, 0.5f, 1e-2f, 1e-4f, 1e-8f, 1e-20f}) {
      const double k = double(group_power(f, least, 1));
      const auto lands = [&](double power) {
        return double(f.most) * std::pow(double(least), power);
      };
      EXPECT_GE(lands(k), double(f.least) * (1 - 1e-6)) << f.name << " " << least;
      if (k < 15.9) EXPECT_LT(lands(k + 1.0 / 16), double(f.least));
      EXPECT_EQ(double(float(bfloat16(float(k)))), k);
      EXPECT_EQ(k * 16, std::floor(k * 16));
    }
}

TEST(Float8, BytesAreCountedGroupByGroup) {
  EXPECT_EQ((Float8Groups{&kE4M3, 128, true}.bytes(128)), 128 + 4);
  EXPECT_EQ((Float8Groups{&kE4M3, 128, true}.bytes(129)), 129 + 8);
  EXPECT_EQ((Float8Groups{&kE4M3, 16, false}.bytes(64)), 64 + 8);
  EXPECT_EQ((Float8Groups{&kE4M3, 0, false}.bytes(1000)), 1002);
  EXPECT_EQ((Float8Groups{&kE4M3, 16, false}.bytes(0)), 0);
}

}  // namespace
}  // namespace espalier

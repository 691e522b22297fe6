// Numbers of 8 bits: E4M3 (no infinities; one NaN of either sign) and E5M2, the types FLOAT8E4M3FN
// and FLOAT8E5M2 of ONNX opset 19 (Micikevicius et al. 2022, arXiv:2209.05433), and groups of them
// with a common scale and power. Codes are kept in u8 tensors.
#pragma once

#include <cstdint>
#include <string_view>

#include "tensor/dtype.h"

namespace espalier {

/// One of the formats: a sign, an exponent, a mantissa.
struct Float8Format {
  const char* name;
  int mantissa, bias;  ///< bits; what is taken off the exponent
  float most, least;   ///< the largest number, the smallest above zero
  uint8_t top;         ///< the code of the largest number
  bool infinities;     ///< the code above it; what lies above that is NaN

  /// Rounds to nearest, halves to even. What is too large, infinities too, becomes the largest
  /// number (ONNX' saturate); NaN stays.
  uint8_t encode(float x) const;
  float decode(uint8_t code) const;
};

inline constexpr Float8Format kE4M3 = {"e4m3", 3, 7, 448.0f, 0x1.0p-9f, 0x7E, false};
inline constexpr Float8Format kE5M2 = {"e5m2", 2, 15, 57344.0f, 0x1.0p-16f, 0x7B, true};

/// "e4m3" or "e5m2"; null for another name.
const Float8Format* float8_named(std::string_view name);

/// How runs of numbers are stored: each run's largest magnitude m becomes the format's largest
/// number, x its code of most * sign(x) (|x| / m)^k.
struct Float8Groups {
  const Float8Format* format = &kE4M3;
  int64_t length = 0;  ///< of a run, in row-major order; 0: all is one
  /// k is chosen for each run such that its range fills the format's (dynamic range expansion, Xi
  /// et al. 2025, arXiv:2410.19313); else it is 1.
  bool expand = false;

  int64_t run(int64_t n) const { return length > 0 ? length : n; }
  int64_t count(int64_t n) const { return n == 0 ? 0 : (n + run(n) - 1) / run(n); }
  /// Numbers beside each run: m and, with expansion, k.
  int64_t beside() const { return expand ? 2 : 1; }
  /// Bytes of n numbers stored so.
  int64_t bytes(int64_t n) const { return n + count(n) * beside() * 2; }

  bool operator==(const Float8Groups&) const = default;
};

/// m of a run whose largest magnitude is `most` (NaN where a number is not finite, as then all of
/// the run): the next bf16 not below it, so that nothing saturates; 0 where all is as good as that.
bfloat16 group_scale(float most);
/// k of a run between the magnitudes `least` (of what is not 0) and `most`: the largest multiple of
/// 1/16 with which least / most does not fall below what the format holds. Below 16, so that bf16
/// holds it.
float group_power(const Float8Format& format, float least, float most);

}  // namespace espalier

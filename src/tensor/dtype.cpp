#include "tensor/dtype.h"

#include <array>

namespace espalier {
namespace {
constexpr std::array<std::string_view, 14> kNames = {"f64", "f32", "bf16", "f16",   "i64",
                                                     "i32", "i16", "i8",   "u64",   "u32",
                                                     "u16", "u8",  "bool", "string"};
constexpr std::array<uint8_t, 14> kSizes = {8, 4, 2, 2, 8, 4, 2,
                                            1, 8, 4, 2, 1, 1, sizeof(std::string)};
}  // namespace

size_t size_of(DType type) { return kSizes[size_t(type)]; }
std::string_view name_of(DType type) { return kNames[size_t(type)]; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i] == name) return DType(i);
  return std::nullopt;
}

float16::float16(float f) {
  const uint32_t u = std::bit_cast<uint32_t>(f);
  const uint16_t sign = uint16_t((u >> 16) & 0x8000u);
  const uint32_t magnitude = u & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) {
    bits = sign | 0x7E00u;  // NaN
  } else if (magnitude >= 0x47800000u) {
    bits = sign | 0x7C00u;  // 65536 and beyond: infinity
  } else if (magnitude < 0x38800000u) {
    // Subnormal: adding 0.5 lines the value up with the last bit of the mantissa and rounds.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    bits = uint16_t(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000u));
  } else {
    const uint32_t rounded = magnitude + 0xC8000FFFu + ((magnitude >> 13) & 1u);
    bits = uint16_t(sign | (rounded >> 13));
  }
}

float16::operator float() const {
  const uint32_t sign = uint32_t(bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 31u, mantissa = bits & 0x3FFu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000u | (mantissa << 13));
  if (exponent == 0) {
    const float value = float(mantissa) * 0x1.0p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(value));
  }
  return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (mantissa << 13));
}

}  // namespace espalier

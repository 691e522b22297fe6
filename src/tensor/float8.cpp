#include "tensor/float8.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace espalier {

uint8_t Float8Format::encode(float x) const {
  const uint32_t u = std::bit_cast<uint32_t>(x);
  const auto sign = uint8_t((u >> 24) & 0x80u);
  if (x != x) return sign | 0x7F;
  const float magnitude = std::min(std::abs(x), most);
  if (magnitude < std::ldexp(least, mantissa)) {
    // Subnormal: what is added lines the value up with the last bit of the mantissa and rounds.
    const float line = std::ldexp(least, 23);
    return uint8_t(sign |
                   (std::bit_cast<uint32_t>(magnitude + line) - std::bit_cast<uint32_t>(line)));
  }
  const int dropped = 23 - mantissa;
  uint32_t bits = std::bit_cast<uint32_t>(magnitude) - (uint32_t(127 - bias) << 23);
  bits += (1u << (dropped - 1)) - 1 + ((bits >> dropped) & 1u);
  return uint8_t(sign | (bits >> dropped));
}

float Float8Format::decode(uint8_t code) const {
  const uint8_t magnitude = code & 0x7F;
  float value = 0;
  if (magnitude == top + 1 && infinities)
    value = std::numeric_limits<float>::infinity();
  else if (magnitude > top)
    value = std::numeric_limits<float>::quiet_NaN();
  else if (magnitude >> mantissa == 0)
    value = float(magnitude) * least;
  else
    value = std::bit_cast<float>((uint32_t(magnitude) << (23 - mantissa)) +
                                 (uint32_t(127 - bias) << 23));
  return (code & 0x80) != 0 ? -value : value;
}

const Float8Format* float8_named(std::string_view name) {
  for (const Float8Format* f : {&kE4M3, &kE5M2})
    if (name == f->name) return f;
  return nullptr;
}

bfloat16 group_scale(float most) {
  // Its reciprocal times the format's largest number must be finite.
  constexpr float kSmallest = 0x1.0p-100f;
  if (most < kSmallest) return bfloat16(0.0f);
  const uint32_t u = std::bit_cast<uint32_t>(most);
  bfloat16 scale(most);
  if (std::isfinite(most)) scale.bits = uint16_t((u + 0xFFFFu) >> 16);
  return scale;
}

float group_power(const Float8Format& format, float least, float most) {
  constexpr double kSteps = 16, kMost = 255;
  const double range = std::log2(double(most) / double(least));
  const double whole = std::log2(double(format.most) / double(format.least));
  if (!(range > 0)) return float(kMost / kSteps);
  return float(std::clamp(std::floor(kSteps * whole / range), 1.0, kMost) / kSteps);
}

}  // namespace espalier

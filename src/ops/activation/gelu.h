// What Gelu and its slope share.
#pragma once

#include <cmath>
#include <numbers>

#include "ops/common.h"

namespace espalier::ops {

struct Gelu {
  std::string approximate = "none";
};

/// Of the form with tanh: u = scale (x + cubic x^3).
inline constexpr double kGeluCubic = 0.044715;
inline const double kGeluScale = std::sqrt(2 / std::numbers::pi);

Types infer_gelu(const Gelu& a, const TypesIn& in);
std::vector<SampleOf<Gelu>> gelu_samples();

}  // namespace espalier::ops

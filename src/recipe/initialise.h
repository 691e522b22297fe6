// First values of parameters: pure functions of (seed, parameter name), so that they depend neither
// on the order of definition nor on threads.
#pragma once

#include <string>

#include "tensor/tensor.h"

namespace espalier {

/// Normal with deviation sqrt(2 / fan_out): He et al. 2015, "Delving deep into rectifiers", which
/// keeps gradients' variance through rectified convolutions. `fan_out` counts the outputs one input
/// element reaches.
Tensor he_normal(const Shape& shape, double fan_out, uint64_t seed, const std::string& name);
/// Normal with zero mean.
Tensor normal(const Shape& shape, double deviation, uint64_t seed, const std::string& name);
/// Uniform in [-bound, bound].
Tensor uniform_within(const Shape& shape, double bound, uint64_t seed, const std::string& name);
/// The same number everywhere.
Tensor filled(const Shape& shape, float value);

}  // namespace espalier

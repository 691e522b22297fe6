// What networks are fed when only their speed matters.
#pragma once

#include "base/rng.h"
#include "ir/type.h"
#include "tensor/tensor.h"

namespace espalier {

/// Random numbers for floats, zeros for the rest (which may be indices) and for single numbers (a
/// learning rate of zero lets every training step do the same work). The type must be static.
Tensor random_input(const TensorType& type, const Rng& rng);

}  // namespace espalier

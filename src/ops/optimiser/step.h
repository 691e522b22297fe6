// What optimiser steps share. A step's operands are a parameter, its gradient, its moments and
// scalars; its results are the new parameter and moments, to be fed back as states.
#pragma once

#include "ops/common.h"
#include "ops/emit.h"

namespace espalier::ops {

/// Operands 0 … tensors-1 have the parameter's shape, the rest are scalars. The gradient may have
/// another float type than the parameter. Results: the parameter and the moments.
Types infer_step(const TypesIn& in, size_t tensors);
/// Every axis of the parameter ties to that of its gradient and moments: zeros stay zero.
AxisMap step_axes(const TypesIn& in, size_t tensors);

/// In C: `element` for every element of the parameter, with its index.
void for_each_element(CWriter& c, const std::function<void(const std::string& at)>& element);

inline Refuse step_gradient() { return Refuse{"is an optimiser step; none is differentiated"}; }

}  // namespace espalier::ops

// p-norms in simpler operators, with gradients that are 0 where the norm is.
#pragma once

#include "ops/common.h"

namespace espalier::ops {

/// |x|^p.
ValueId power_of_magnitude(Builder& b, ValueId x, int64_t p);
/// sum^(1/p) for sums >= 0 (NaN stays NaN). At 0, where the root is infinitely steep, no gradient
/// flows.
ValueId root(Builder& b, ValueId sum, int64_t p);
/// The p-norm of v over those axes, kept as extents of 1.
ValueId lp_norm(Builder& b, ValueId v, int64_t p, std::vector<int64_t> axes);

/// Refuses p below 1.
void require_norm(const TypesIn& in, int64_t p);

}  // namespace espalier::ops

// What the integer contractions share: they are worked out in doubles, which hold every sum of
// products of 8-bit integers exactly.
#pragma once

#include "ops/common.h"

namespace espalier::ops {

/// A quantised operand less its zero point (kNoValue: 0) as f64. A list of zero points runs along
/// `axis`. UserError at `where` for operands that are not quantised.
ValueId centred(Builder& b, ValueId v, ValueId zero_point, int64_t axis, const char* where);
/// A scalar or list (of scales, of biases) as f64, shaped to run along `axis` of a tensor of that
/// rank.
ValueId along(Builder& b, ValueId list, int64_t axis, int64_t rank);
/// Operand i, or kNoValue where it is omitted.
ValueId operand(const Values& in, size_t i);

/// f64 result, real scale of it -> quantised with the result's scale and zero point.
ValueId requantized(Builder& b, ValueId sum, ValueId scale, ValueId to_scale, ValueId to_zero);

inline Refuse integers_have_no_gradient() { return Refuse{"computes on integers"}; }
inline Refuse is_integer_form() { return Refuse{"is an integer form itself"}; }

}  // namespace espalier::ops

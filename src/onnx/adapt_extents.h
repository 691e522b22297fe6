// Extents, for adapters that write nodes: known ones as constants, open ones as nodes that find
// them.
#pragma once

#include "onnx/adapt.h"

namespace espalier {

/// An extent that must be known; `what` names it in the refusal.
int64_t known_extent(Call& c, const TensorType& type, int64_t axis, const char* what);
/// Refuses an operand of another rank.
void require_rank(const Call& c, size_t operand, int64_t rank);
/// Extent `axis` of v as an i64: a scalar, or a list of one.
ValueId extent(Builder& b, ValueId v, int64_t axis);
ValueId extent_list(Builder& b, ValueId v, int64_t axis);
/// 0, 1, ... before a scalar count.
ValueId counted(Builder& b, ValueId count);

}  // namespace espalier

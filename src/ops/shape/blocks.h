// What DepthToSpace and SpaceToDepth share.
#pragma once

#include "ops/common.h"

namespace espalier::ops {

/// Refuses operands that are not [batch, channel, height, width] and block sizes below 1.
void check_blocks(const TypesIn& in, int64_t block);
/// The extents as reshape targets: the batch is copied, the others must be numbers (UserError).
Shape block_extents(Builder& b, ValueId v, const char* who);

}  // namespace espalier::ops

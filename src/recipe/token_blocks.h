// Blocks over sequences of tokens.
#pragma once

#include <span>

#include "recipe/blocks.h"

namespace espalier {

/// First values of learned tokens and positions: uniform, with a standard deviation of 0.02.
inline constexpr double kTokenBound = 0.02 * 1.7320508075688772;

/// y = x W^T + b over the last axis of x, whatever the axes before it; W is [out, in] as PyTorch
/// stores it.
ValueId dense_layer(BlockBuilder& b, ValueId x, const std::string& name, int64_t in, int64_t out,
                    bool bias);

std::span<const LeafType> token_blocks();

}  // namespace espalier

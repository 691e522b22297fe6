// Blocks over sequences of tokens.
#pragma once

#include <span>

#include "recipe/blocks.h"

namespace espalier {

/// Standard deviation of the first values of learned tokens and positions.
inline constexpr double kTokenDeviation = 0.02;
/// The bound of uniform ones.
inline constexpr double kTokenBound = kTokenDeviation * 1.7320508075688772;

/// W [out, in], as PyTorch stores it, and b [out] unless `bias` is false. Normal first weights of
/// `deviation` beside biases of zero, as in GPT-2; without it both are uniform within 1 / sqrt(in).
Values linear_parameters(BlockBuilder& b, Fields& fields, const std::string& name, int64_t in,
                         int64_t out);

/// y = x W^T + b over the last axis of x, whatever the axes before it.
ValueId dense_layer(BlockBuilder& b, Fields& fields, ValueId x, const std::string& name, int64_t in,
                    int64_t out);

std::span<const LeafType> token_blocks();

}  // namespace espalier

// Concrete shapes and row-major index arithmetic.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace espalier {

using Shape = std::vector<int64_t>;

/// Number of elements; 1 for a scalar. Throws UserError if it overflows int64.
int64_t numel(std::span<const int64_t> shape);
/// Row-major strides in elements.
std::vector<int64_t> strides_of(std::span<const int64_t> shape);
/// "[2,3,32,32]"
std::string to_string(std::span<const int64_t> shape);
/// Axis in [-rank, rank) to [0, rank); throws UserError naming `where` otherwise.
int64_t normal_axis(int64_t axis, int64_t rank, const std::string& where);
/// The product of extents in [begin, end).
int64_t product(std::span<const int64_t> shape, size_t begin, size_t end);

/// Permutations that move the channels of [N, ..., C] behind the batch and of [N, C, ...] to the
/// end, each the other's inverse: axis p[i] becomes axis i. Ranks of at least 2.
std::vector<int64_t> to_channels_first(int64_t rank);
std::vector<int64_t> to_channels_last(int64_t rank);

/// Strides that read a tensor of shape `from` as if broadcast to `to` (numpy rules): 0 along
/// broadcast axes. `from` must be broadcastable to `to`.
std::vector<int64_t> broadcast_strides(std::span<const int64_t> from, std::span<const int64_t> to);

}  // namespace espalier

// The index arithmetic of Slice, shared with its gradient.
#pragma once

#include "ops/shape/move.h"

namespace espalier::ops {

/// What is taken along one axis: `count` positions from `first` in steps of `step`.
struct SliceRange {
  int64_t first = 0, count = 0, step = 1;
};

/// Operands starts, ends, axes and steps as lists, beginning at operand `slot`.
struct SliceLists {
  std::vector<int64_t> starts, ends, axes, steps;
};
/// The lists, with axes and steps filled in where omitted; nothing while any of them is unknown.
/// UserError for lists of different lengths, axes named twice and steps of 0.
std::optional<SliceLists> slice_lists(const TypesIn& in, size_t slot, int64_t rank);

/// What start, end and step take of an extent, by numpy's rules.
SliceRange slice_range(int64_t start, int64_t end, int64_t step, int64_t extent);

/// Where the sliced elements stand in a tensor of that shape.
Strided sliced(const SliceLists& lists, const Shape& shape);

}  // namespace espalier::ops

// What Softmax, LogSoftmax and Hardmax share: the attribute and the loop over slices.
#pragma once

#include "ops/common.h"

namespace espalier::ops {

struct Softmax {
  int64_t axis = -1;
};

Types infer_softmax(const Softmax& a, const TypesIn& in);
/// The axis is read whole; along the others slices are independent and never zero.
AxisMap softmax_axes(const Softmax& a, const TypesIn& in, const Types& out);
/// The sum of v along the axis, kept as an extent of 1.
ValueId sum_along(Builder& b, const Softmax& a, ValueId v);

/// Calls body(first, step, count) for every slice along the axis: its elements stand at
/// first + i * step.
template <class Body>
void for_each_slice(const Shape& shape, int64_t axis, Body body) {
  const size_t at = size_t(axis < 0 ? axis + int64_t(shape.size()) : axis);
  const int64_t outer = product(shape, 0, at), count = shape[at];
  const int64_t step = product(shape, at + 1, shape.size());
  if (count == 0) return;
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < step; ++i) body(size_t(o * count * step + i), size_t(step), count);
}

/// Softmax, or its logarithm, in C.
void emit_softmax(const Softmax& a, CWriter& c, bool logarithm);

}  // namespace espalier::ops

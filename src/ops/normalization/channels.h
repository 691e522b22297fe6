// Loops over a [batch, channel, ...] tensor, one channel at a time.
#pragma once

#include <cstdint>

#include "tensor/shape.h"

namespace espalier::ops {

/// How many elements each channel has.
inline int64_t elements_per_channel(const Shape& shape) {
  return shape[0] * product(shape, 2, shape.size());
}

/// Calls body(i) with the offset of every element of a channel.
template <class Body>
void for_each_of_channel(const Shape& shape, int64_t channel, Body body) {
  const int64_t inner = product(shape, 2, shape.size());
  for (int64_t n = 0; n < shape[0]; ++n) {
    const int64_t first = (n * shape[1] + channel) * inner;
    for (int64_t i = first; i < first + inner; ++i) body(size_t(i));
  }
}

}  // namespace espalier::ops

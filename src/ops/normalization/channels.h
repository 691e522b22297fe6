// Loops over a [batch, channel, ...] tensor, one channel at a time.
#pragma once

#include <cstdint>

#include "ops/emit.h"
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

/// In C: `element` for every element of channel `c` of operand 0, with its index.
template <class Element>
void each_of_channel(CWriter& w, Element element) {
  const Shape shape = w.shape(0);
  const int64_t inner = product(shape, 2, shape.size());
  w.block(for_loop("n", shape[0]), [&] {
    const std::string first = times(plus(times("n", shape[1]), "c"), inner);
    if (inner == 1) return element(first);
    w.block(for_loop("i", inner), [&] { element(plus(first, "i")); });
  });
}

}  // namespace espalier::ops

// Channels-last rows of positions as the panels of a product that sums over positions: the channels
// of a panel side by side, position after position.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace espalier::kernels {

/// Positions 0, 1, … of a row: position p is at data + p * step where first <= p < last, and zero
/// elsewhere.
template <class T>
struct PositionRow {
  const T* data = nullptr;
  int64_t step = 0;  ///< elements from a position to the next
  int64_t first = 0, last = 0;
  int64_t channels = 0;  ///< of the panel, `lanes` at most
};

/// `count` positions, each as `lanes` numbers, those past the channels zero.
void pack_positions(const PositionRow<float>& row, int64_t count, int64_t lanes, float* to);
/// Two positions together, for each channel a word with the first in its lower half; where their
/// number is odd, the last has zeros beside it.
void pack_positions(const PositionRow<bfloat16>& row, int64_t count, int64_t lanes, uint32_t* to);

}  // namespace espalier::kernels

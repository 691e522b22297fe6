// The positions a cut drops, value by value: what restrict and its masked twin both work from.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "compress/axis_classes.h"

namespace espalier {

/// Along axes of one value: whether each position is dropped.
using AxisDrops = std::map<int, std::vector<bool>>;
/// Values of `AxisClasses::graph` that lose positions.
using Drops = std::map<ValueId, AxisDrops>;

Drops dropped(const AxisClasses& classes, const Keep& keep);

/// Indices of the flags that are `value`, ascending.
std::vector<int64_t> positions(const std::vector<bool>& flags, bool value);

/// Without the dropped positions; an axis of symbolic extent keeps it.
Tensor cut(Tensor tensor, const AxisDrops& drops);
TensorType cut(TensorType type, const AxisDrops& drops);

}  // namespace espalier

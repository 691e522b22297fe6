// Blocks that stand several times in a row in a graph's order, wired and typed alike.
#pragma once

#include <vector>

#include "ir/graph.h"

namespace espalier::diagram {

/// Nodes [begin, begin + length) of the order, `count` times in a row; what differs is their names
/// and the elements of their constants.
struct Repetition {
  size_t begin = 0, length = 0, count = 0;
};

/// Repetitions that do not overlap, in order; each leaves out at least `least` nodes when drawn
/// once.
std::vector<Repetition> repeated_blocks(const Graph& graph, size_t least = 2);

}  // namespace espalier::diagram

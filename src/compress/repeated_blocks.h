// Blocks that a network repeats, found by its structure: between places where one value alone goes
// on, stretches that compute the same function of it with parameters of their own.
#pragma once

#include <span>
#include <vector>

#include "ir/graph.h"

namespace espalier {

struct RepeatedBlock {
  ValueId in = kNoValue, out = kNoValue;
  /// What it reads of constants, alike in all blocks of a run.
  std::vector<ValueId> constants;
};

/// Blocks one behind the other, each reading what the one before gives: two or more.
using BlockRun = std::vector<RepeatedBlock>;

/// The runs of the network, in its order: where stretches can be taken together in several ways,
/// the run that covers most, of the smallest blocks. A block has a parameter. Blocks are alike
/// where operators, attributes, shapes and constants that are neither parameters nor buffers are.
std::vector<BlockRun> repeated_blocks(const Graph& network);

/// The network without some of its blocks, which are in its order: what reads what they give reads
/// what they are given. Constants that nothing reads any more go too.
Graph without_blocks(const Graph& network, std::span<const RepeatedBlock> blocks);

}  // namespace espalier

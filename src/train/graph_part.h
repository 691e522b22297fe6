// A piece of a graph as a graph of its own.
#pragma once

#include <span>
#include <vector>

#include "ir/graph.h"

namespace espalier {

/// What computes `wanted` from `given` (values that nodes make), the graph's inputs and constants.
/// Inputs are those of either that are read, under the names they have; outputs are `wanted`, in
/// that order. States are left out.
Graph part_of(const Graph& graph, std::span<const ValueId> given, std::span<const ValueId> wanted);

/// Which values depend on any of these, themselves among them. Indexed by ValueId.
std::vector<bool> values_behind(const Graph& graph, std::span<const ValueId> from);
/// Which nodes read any such value. Indexed by NodeId.
std::vector<bool> nodes_behind(const Graph& graph, std::span<const ValueId> from);

}  // namespace espalier

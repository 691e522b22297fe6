// Networks that differ from a given one in a single place and are still networks: what somebody who
// draws one by hand gets wrong.
#pragma once

#include <functional>
#include <string>

#include "ir/graph.h"

namespace espalier {

/// A change that was made, in words ("Transpose 'v_3': attribute perm"), and the changed network.
using SeeFault = std::function<void(const std::string& what, const Graph& faulty)>;

/// Shows up to `most` such networks, from all over the graph, always the same ones: attributes that
/// are integers changed (axes, permutations, strides, groups), operands exchanged, and of constant
/// operands two axes exchanged, an axis set to 1 and so repeated, or a leading axis added. Changes
/// that no longer fit the rest of the network are none. Returns how many were shown.
size_t plant_faults(const Graph& graph, size_t most, const SeeFault& see);

}  // namespace espalier

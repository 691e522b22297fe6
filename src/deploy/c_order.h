// The order in which the nodes of a graph are written.
#pragma once

#include <vector>

#include "ir/graph.h"

namespace espalier {

/// The graph's nodes: what serves its states alone as early as it can be (runtime/order.h), what
/// makes more than it reads as late as it can be, and what a state becomes behind everybody who
/// reads what it was.
std::vector<NodeId> c_order(const Graph& graph);

}  // namespace espalier

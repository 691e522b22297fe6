// Whether a network computes with integers that stand for real numbers.
#pragma once

#include "ir/graph.h"

namespace espalier {

/// The first node that turns real numbers into 8-bit integers or integers into real numbers by a
/// scale; kNoNode in float networks, those that read 8-bit pictures included.
NodeId integer_coding(const Graph& graph);
/// Whether a node does that.
bool codes_integers(const Graph& graph, NodeId node);

}  // namespace espalier

// Networks that take and give integers, for floats: what data sets and metrics need of a network
// that was quantised to its edges.
#pragma once

#include "ir/graph.h"

namespace espalier {

/// The network with its quantised inputs and outputs as floats: an input of 8 or 16-bit integers
/// that stand for numbers (a DequantizeLinear with one known scale reads it, as it is or moved) is
/// fed floats and quantises them; an output that comes from a QuantizeLinear is dequantised. Names
/// stay. Inputs and outputs that are plain integers, or floats already, stay what they are.
Graph with_float_interface(const Graph& graph);

}  // namespace espalier

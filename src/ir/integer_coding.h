// Whether a network computes with integers that stand for real numbers.
#pragma once

#include <optional>

#include "ir/facets.h"
#include "ir/graph.h"

namespace espalier {

/// The first node that turns real numbers into 8-bit integers or integers into real numbers by a
/// scale; kNoNode in float networks, those that read 8-bit pictures included.
NodeId integer_coding(const Graph& graph);
/// Whether a node does that.
bool codes_integers(const Graph& graph, NodeId node);

/// Whether such a node makes the value.
bool is_coded(const Graph& graph, ValueId value);

/// The constant integers that a value stands for in real numbers; kNoValue for other values.
ValueId decoded_constant(const Graph& graph, ValueId value);
/// How a contraction is quantised, where weights on integers count as the constants they are.
/// `weight` is -1 for a product of activations. Nothing for what is no contraction.
std::optional<QuantForm> contraction_form(const Graph& graph, NodeId node);

}  // namespace espalier

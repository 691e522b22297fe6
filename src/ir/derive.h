// Facets answered through expansion: the one place that turns `Derive` into an answer.
#pragma once

#include "ir/builder.h"

namespace espalier {

/// Appends a copy of `body` (constants and nodes) to the builder's graph, reading `operands` in
/// place of the body's inputs; returns what stands for the body's outputs.
Values splice(Builder& builder, const Graph& body, const Values& operands);

/// The node's expansion as a graph of its own: inputs are its non-constant operands, constants stay
/// constants. The room must have `expand`.
Graph expansion_of(const Graph& graph, NodeId node);

/// Cost of one execution, through the expansion where the room derives it. Types must be static.
/// Throws UserError where the room refuses.
Cost cost_of(const Graph& graph, NodeId node);
/// Cost of all nodes.
Cost cost_of(const Graph& graph);

/// Replaces a node by its expansion.
void expand_in_place(Graph& graph, NodeId node);

}  // namespace espalier

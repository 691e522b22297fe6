// Reverse-mode differentiation as a graph rewrite: gradients are appended as ordinary nodes,
// written by the rooms' `gradient` facets, so that forward, backward and optimiser are planned and
// fused as one program.
#pragma once

#include <map>
#include <span>

#include "ir/graph.h"

namespace espalier {

/// Appends to `graph` the gradients of the scalar (or summed) value `loss` with respect to each
/// value in `wrt`. Only nodes between `wrt` and `loss` get gradients. A value the loss does not
/// depend on gets a zero constant of its type. Nodes whose gradient is derived are expanded first.
///
/// Throws UserError(unsupported) listing every node on the way whose room refuses a gradient, with
/// the reasons, before the graph is changed.
std::map<ValueId, ValueId> differentiate(Graph& graph, ValueId loss, std::span<const ValueId> wrt);

}  // namespace espalier

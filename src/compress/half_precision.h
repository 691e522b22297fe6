// A float network in 16 bits: everything between inputs and outputs, which keep their types, or the
// stored weights alone.
#pragma once

#include <set>
#include <string>

#include "ir/graph.h"

namespace espalier {

/// The graph with its f32 values as bf16, cast at the inputs and back at the outputs. An operator
/// that refuses bf16 operands runs in f32 between casts; f32 operands that describe rather than
/// compute (a resize's scales) stay as they are. UserError (unsupported) for a network that is
/// quantised to integers: its scales would lose what they say.
Graph to_bf16(const Graph& graph);

/// The same for a network of several precisions: contractions whose first result is named in `keep`
/// stay in f32, and so does what runs on integers, with what integer kernels take along.
Graph to_bf16_beside(const Graph& graph, const std::set<std::string>& keep);

/// The graph with its parameters stored as bf16 and widened where they are read: half the size and
/// bf16's rounding of the weights, in operators and types that every runtime has. All arithmetic is
/// f32. UserError (unsupported) as above.
Graph with_bf16_weights(const Graph& graph);

}  // namespace espalier

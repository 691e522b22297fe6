// A float network in 16 bits: inputs and outputs keep their types, everything between is bf16 where
// the operators can be.
#pragma once

#include "ir/graph.h"

namespace espalier {

/// The graph with its f32 values as bf16, cast at the inputs and back at the outputs. An operator
/// that refuses bf16 operands runs in f32 between casts; f32 operands that describe rather than
/// compute (a resize's scales) stay as they are.
Graph to_bf16(const Graph& graph);

}  // namespace espalier

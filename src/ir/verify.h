// The verifier: what must hold of every graph between passes.
#pragma once

#include <string>

#include "ir/graph.h"

namespace espalier {

/// Checks structure (order, producers, names, dangling operands, arity, duplicate outputs, state
/// pairs of equal type) and that every value's type equals what inference gives. Returns an empty
/// string, or the first violation naming node and value.
std::string violation(const Graph& graph);

/// Throws InternalError with the violation and `after` (the pass that just ran).
void verify(const Graph& graph, const std::string& after);

}  // namespace espalier

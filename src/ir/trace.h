// What a tracing compiler sees of a network: the straight line one input runs.
#pragma once

#include <span>
#include <vector>

#include "ir/datum.h"
#include "ir/graph.h"

namespace espalier {

/// The operators that were run for these inputs (tensors), by reference kernels, in the order in
/// which they were run; of branches those that were taken, of loops as many iterations as there
/// were. What was decided is decided for good: other inputs run the same line. UserError where an
/// operator with bodies makes a new value of what they gave, as loops that collect slices do.
Graph traced(const Graph& graph, std::span<const Tensor> inputs);

}  // namespace espalier

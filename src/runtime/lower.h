// From a graph to instructions over buffers: kernels bound, reorders inserted where layouts differ,
// views and donated state resolved to shared buffers. Memory is planned afterwards.
#pragma once

#include "runtime/program_impl.h"

namespace espalier {

/// Instructions in an order that respects data and donated state; arena buffers have no offsets
/// yet. UserError names a node that nothing can run, or, when strict, one left to the reference.
/// The graph's constants are let go one by one, as the last node that reads them is lowered: where
/// nobody else holds them, they and their packed forms are not both in memory.
std::unique_ptr<ProgramImpl> lower(Graph graph, const CompileOptions& options);

/// Shares, places and sizes the arena's buffers.
void place_buffers(ProgramImpl& program);

}  // namespace espalier

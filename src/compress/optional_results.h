// Optional results nobody reads (a pool's indices): they tie axes and hold up fusions for nothing.
#pragma once

#include "ir/graph.h"

namespace espalier {

/// Drops trailing results that are optional and read by no node, output or state.
void drop_unread_results(Graph& graph);

}  // namespace espalier

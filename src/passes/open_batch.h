// Networks written down for one batch size, for any: what data sets, training and search need of a
// network that was exported with fixed extents.
#pragma once

#include "ir/graph.h"

namespace espalier {

/// The network with the first extent of its inputs symbolic. Types follow by inference; constants
/// that spell the old batch out (a reshape's target, a resize's sizes) are rewritten by the rooms'
/// `resized` facet. Shape computations are evaluated. A network whose inputs are open already is
/// returned as it is.
///
/// Every result that depends on an input must keep the batch as an axis of its own, samples apart
/// from each other. UserError (unsupported) names the node where that is not so.
Graph with_open_batch(const Graph& graph);

}  // namespace espalier

// Which regions stay fused, decided by the machine's cost model.
#pragma once

#include "cost/model.h"

namespace espalier::passes {

/// Takes apart the regions whose operators one by one are predicted to take clearly less time (by
/// more than a tenth, for predictions are no measurements). Regions of integers stay: their
/// operators alone would run in float; so do regions of several contractions. Returns how many were
/// taken apart.
int fuse_by_cost(Graph& graph, const CostModel& model);

}  // namespace espalier::passes

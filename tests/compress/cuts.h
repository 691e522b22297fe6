// Checks every cut must pass, for any network.
#pragma once

#include <cstdint>

#include "compress/restrict.h"
#include "tests/support/networks.h"

namespace espalier::testing {

/// Groups kept at random with probability `share`, at least one per class.
Keep random_keep(const AxisClasses& classes, uint64_t seed, double share = 0.6);
/// Expects: cut network ≡ masked twin exactly on the reference kernels, also at another batch; the
/// predicted cost is the cut network's. Returns the cut network.
Graph expect_cut_equals_masked(const Graph& graph, const AxisClasses& classes, const Keep& keep);

}  // namespace espalier::testing

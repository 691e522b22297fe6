// What this machine reaches: work, bandwidth, and what starting something costs.
#pragma once

#include "cost/tables.h"

namespace espalier {

/// Takes a few seconds. Work is the best of three matrix products and two convolutions, run through
/// compile; bandwidth the best of several passes over a set of memory.
MachinePeaks measure_peaks(int threads);

}  // namespace espalier

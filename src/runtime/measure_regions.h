// The regions of a network timed where they stand: one compiled run after the other, instruction by
// instruction.
#pragma once

#include <string>
#include <vector>

#include "cost/tables.h"
#include "runtime/program.h"

namespace espalier {

struct RegionTimingOptions {
  int threads = 1;
  double seconds = 0.03;  ///< runs go on for so long …
  int least_runs = 5;     ///< … and at least so often
  int most_runs = 200;    ///< at most kProfileRuns
  uint64_t seed = 0;      ///< of what the network is fed
  std::vector<std::string> disabled_passes;
};

/// A row for each node that is not computed beforehand, of a static graph without states. No rows
/// where the reference would have to do more than a little work: its time says nothing about
/// kernels. UserError for what compile refuses.
std::vector<RegionRow> measure_regions(const Graph& graph, const std::string& source,
                                       const RegionTimingOptions& options);

}  // namespace espalier

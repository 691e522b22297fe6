// Networks that decide while they run what to compute: early exits (Teerapittayanon et al. 2016),
// skipped blocks (Wang et al. 2018, SkipNet), widths chosen by a gate, and a recurrent loop that
// halts when it has seen enough (Graves 2016). Their weights are random; their gates are set so
// that inputs go both ways.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"

namespace espalier {

/// "early_exit", "skip_block", "gated_width", "rnn_loop".
std::vector<std::string> dynamic_network_names();

struct DynamicNetwork {
  Graph graph;  ///< results: what it computes, and the number of the path it took (i64 [])
  std::vector<std::vector<Tensor>> inputs;
};
/// The network of that name and that many inputs, a function of the seed; UserError for another
/// name. Every gate is set to the middle of what those inputs give it.
DynamicNetwork dynamic_network(const std::string& name, int64_t inputs, uint64_t seed);

}  // namespace espalier

// Whether a batch should run as a whole or sample by sample.
#pragma once

#include "ir/graph.h"

namespace espalier {

/// Run as a whole, every result of a batch is written to memory and read back where it exceeds the
/// caches; sample by sample it stays there, but all weights are read once for each sample. True
/// where that saves more than it costs: a node moves sixteen times what the second cache
/// holds, and a sample's results, written and read, outweigh the weights by half.
///
/// `graph` and what passes make of it, types static; `samples` is its batch, at least one for each
/// of `threads`.
bool better_by_sample(const Graph& graph, const Graph& prepared, int64_t samples, int threads);

}  // namespace espalier

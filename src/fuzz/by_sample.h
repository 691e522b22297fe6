// Batches of random networks, run sample by sample.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "fuzz/expected.h"
#include "ir/graph.h"

namespace espalier::fuzz {

/// Of a graph with static types, the outputs that begin with the first input's extent, as a batch
/// of that many samples; inputs that begin with another are constants. Runs it sample by sample
/// where the compiler takes it for one (passes/one_sample.h), and says what differs from `want`.
/// Nothing where all is as expected, or the batch runs as a whole; `ran` tells which.
std::optional<std::string> check_by_sample(const Graph& graph, std::span<const Tensor> inputs,
                                           const Expected& want, bool& ran);

}  // namespace espalier::fuzz

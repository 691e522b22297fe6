// Small networks that definitions cannot write and papers draw: attention, skips that are
// concatenated.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"

namespace espalier {

/// "transformer_block", "vision_transformer", "u_net".
std::vector<std::string> drawn_network_names();
/// The network of that name, its weights a function of the seed; UserError for another name.
Graph drawn_network(const std::string& name, uint64_t seed);

}  // namespace espalier

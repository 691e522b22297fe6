// A network's weights as a file of their own: safetensors with its parameters and running
// statistics, by their names in the graph. A definition and such a file are a network.
#pragma once

#include <filesystem>

#include "ir/graph.h"

namespace espalier {

/// Writes parameters and buffers, atomically. UserError where there are none.
void save_weights(const Graph& graph, const std::filesystem::path& path);

/// The file's tensors in place of the graph's parameters and buffers of the same names; floats of
/// another width are converted. UserError that lists everything at once that does not match: names
/// missing on either side, shapes, element types. (PyTorch's counters `num_batches_tracked` are
/// passed over.)
void load_weights(Graph& graph, const std::filesystem::path& path);

/// UserError(usage) unless the name is that of a safetensors file.
void check_weights_file(const std::filesystem::path& path);

}  // namespace espalier

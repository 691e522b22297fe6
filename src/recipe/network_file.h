// Networks by file name: which formats there are, and how each is read.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "ir/graph.h"

namespace espalier {

/// For messages: "networks are read from …".
extern const char* const kNetworkFormats;

/// A definition (.yaml): its parameters are fresh.
bool is_definition_file(const std::filesystem::path& path);
/// Of a format that holds weights.
bool is_weights_file(const std::filesystem::path& path);

/// The network of a file that holds weights, as it stands there. `shapes` pins inputs of ONNX files
/// while they are read. UserError for any other suffix.
Graph read_network(const std::filesystem::path& path,
                   const std::map<std::string, Shape>& shapes = {});

}  // namespace espalier

// Networks by file name: which formats there are, and how each is read.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "ir/graph.h"

namespace espalier {

/// For messages.
inline constexpr const char* kNetworkFormats =
    "networks are read from .onnx, .tflite, .esp, .plan and .yaml";

/// A definition (.yaml): its parameters are fresh.
bool is_definition_file(const std::filesystem::path& path);
/// A network with its parameters: what `read_network` takes.
bool is_network_file(const std::filesystem::path& path);

/// The network of a file, as it stands there. `shapes` pins inputs of ONNX and TFLite files while
/// they are read; other formats leave it aside. UserError for any other suffix, definitions too.
Graph read_network(const std::filesystem::path& path,
                   const std::map<std::string, Shape>& shapes = {});

}  // namespace espalier

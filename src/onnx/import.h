// ONNX files into graphs: opsets 1 to 21, lifted to the forms the rooms follow (opset 17).
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ir/graph.h"

namespace espalier {

struct ImportOptions {
  /// Graph inputs that become constants: what makes a shape that is computed from them known.
  std::map<std::string, Tensor> pinned;
  /// Shapes of graph inputs in place of the declared ones.
  std::map<std::string, Shape> shapes;
};

/// The network in an ONNX file. Initialisers are constants, those that are weights parameters, so
/// that the network can be trained further; nodes are sorted; shape computations over known extents
/// are folded. Every operator without a room is listed at once in a UserError(unsupported);
/// whatever is malformed (truncated bytes, sizes that do not fit, cycles, dangling or doubled
/// names, missing external data) is one UserError(bad input) naming the place. Files may hold
/// external data in their own folder.
Graph import_onnx(const std::filesystem::path& path, const ImportOptions& options = {});

/// The same from bytes. `where` names them in messages; `folder` is where external data lies.
Graph import_onnx_bytes(std::string_view bytes, const std::string& where,
                        const std::filesystem::path& folder = {},
                        const ImportOptions& options = {});

/// Names and types of the inputs that a file's network is fed (its initialisers left out).
std::vector<std::pair<std::string, Type>> onnx_inputs(const std::filesystem::path& path);

}  // namespace espalier

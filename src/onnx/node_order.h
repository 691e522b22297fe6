// The order in which a file's nodes can be read, and whether its names fit together.
#pragma once

#include <string>
#include <vector>

namespace onnx {
class GraphProto;
}

namespace espalier {

/// Indices of the nodes so that every operand stands before its readers, otherwise as in the file.
/// UserError at `where` for a name given twice, an operand nothing produces, or a cycle.
std::vector<int> node_order(const onnx::GraphProto& graph, const std::string& where);

}  // namespace espalier

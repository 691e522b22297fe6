// The order in which a file's nodes can be read, and whether its names fit together.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace onnx {
class GraphProto;
class NodeProto;
}  // namespace onnx

namespace espalier {

/// Names that a node's bodies read from the graph around it, each once, in order of appearance.
std::vector<std::string> captured_names(const onnx::NodeProto& node);

/// Indices of the nodes so that every operand stands before its readers, otherwise as in the file.
/// `outside` says whether the graph around this one gives a name. UserError at `where` for a name
/// given twice, an operand nothing produces, or a cycle.
std::vector<int> node_order(const onnx::GraphProto& graph, const std::string& where,
                            const std::function<bool(const std::string&)>& outside);

}  // namespace espalier

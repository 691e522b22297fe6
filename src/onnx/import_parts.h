// Steps of an import that need no graph.
#pragma once

#include <string>
#include <string_view>

#include "ir/attribute.h"

namespace onnx {
class GraphProto;
class ModelProto;
class NodeProto;
}  // namespace onnx

namespace espalier {

/// The protobuf of a file. UserError at `where` for bytes that are none.
onnx::ModelProto parse_model(std::string_view bytes, const std::string& where);

/// A node that holds a constant, which is no operator here.
bool is_constant_node(const onnx::NodeProto& node);
/// The tensor of its attribute. UserError at `at` for kinds without a place here.
Tensor constant_of(const AttributeValue& value, const std::string& at);

/// UserError that lists every node, in bodies too, whose operator has no room: whoever repairs a
/// model wants the whole list.
void refuse_unsupported(const onnx::GraphProto& graph, const std::string& where, int64_t opset);

}  // namespace espalier

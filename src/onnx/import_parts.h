// Steps of an import that need no graph.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "ir/attribute.h"
#include "onnx/import.h"

namespace onnx {
class GraphProto;
class ModelProto;
class NodeProto;
class ValueInfoProto;
}  // namespace onnx

namespace espalier {

class MappedFile;

/// The protobuf of a file. UserError at `where` for bytes that are none.
onnx::ModelProto parse_model(std::string_view bytes, const std::string& where);
/// The same; the file's pages do not stay in memory beside what was read from them.
onnx::ModelProto parse_model(const MappedFile& file, const std::string& where);

/// The opset its standard operators are of; the newest where only other domains are declared.
/// UserError at `where` for none and for unknown ones.
int64_t opset_of(const onnx::ModelProto& model, const std::string& where);

/// UserError(usage) for options that name an input the graph does not have.
void check_options(const onnx::GraphProto& graph, const ImportOptions& options,
                   const std::string& where);

/// The type of a body's input; `hint` is what the node's operands say of it.
Type body_input_type(const onnx::ValueInfoProto& info, const std::optional<Type>& hint,
                     const std::string& where);
/// UserError where the element type that is declared for an output is not that of its value.
void check_output(const onnx::ValueInfoProto& info, const Type& type, const std::string& where);

/// A node that holds a constant, which is no operator here.
bool is_constant_node(const onnx::NodeProto& node);
/// The tensor of its attribute. UserError at `at` for kinds without a place here.
Tensor constant_of(const AttributeValue& value, const std::string& at);

/// UserError that lists every node, in bodies too, whose operator has no room: whoever repairs a
/// model wants the whole list.
void refuse_unsupported(const onnx::GraphProto& graph, const std::string& where, int64_t opset);

}  // namespace espalier

// Attributes between ONNX files and graphs, and how messages name a node of a file.
#pragma once

#include <string>

#include "ir/attribute.h"

namespace onnx {
class AttributeProto;
class NodeProto;
}  // namespace onnx

namespace espalier {

class ExternalData;

/// "Conv 'conv1'", or by the first result where the node has no name.
std::string describe(const onnx::NodeProto& node);
/// The domain as rooms spell it: "" for ai.onnx.
std::string domain_of(const onnx::NodeProto& node);

/// All attributes of a node. UserError at `where` for kinds that have no place in a graph (types,
/// sparse tensors, subgraphs) and for doubled names.
AttributeMap decode_attributes(const onnx::NodeProto& node, const std::string& where,
                               ExternalData* external);

/// One attribute as ONNX stores it. InternalError for subgraphs.
void encode_attribute(const std::string& name, const AttributeValue& value,
                      onnx::AttributeProto& proto);

}  // namespace espalier

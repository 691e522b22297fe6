// Attributes between ONNX files and graphs, and how messages name a node of a file.
#pragma once

#include <functional>
#include <string>

#include "ir/attribute.h"

namespace onnx {
class AttributeProto;
class GraphProto;
class NodeProto;
}  // namespace onnx

namespace espalier {

class ExternalData;

/// "Conv 'conv1'", or by the first result where the node has no name.
std::string describe(const onnx::NodeProto& node);
/// The domain as rooms spell it: "" for ai.onnx.
std::string domain_of(const onnx::NodeProto& node);

/// Makes a graph of an attribute's.
using SubgraphReader =
    std::function<GraphRef(const std::string& attribute, const onnx::GraphProto&)>;
using SubgraphWriter = std::function<void(const Graph&, onnx::GraphProto&)>;

/// All attributes of a node. UserError at `where` for kinds that have no place in a graph (sparse
/// tensors, lists of graphs) and for doubled names.
AttributeMap decode_attributes(const onnx::NodeProto& node, const std::string& where,
                               ExternalData* external, const SubgraphReader& subgraph);

/// One attribute as ONNX stores it. InternalError for subgraphs without a writer.
void encode_attribute(const std::string& name, const AttributeValue& value,
                      onnx::AttributeProto& proto, const SubgraphWriter& subgraph = {});

}  // namespace espalier

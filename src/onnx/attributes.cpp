#include "onnx/attributes.h"

#include "base/error.h"
#include "onnx/onnx_proto.h"
#include "onnx/tensor_proto.h"
#include "onnx/type_proto.h"

namespace espalier {
namespace {

using Proto = onnx::AttributeProto;

/// Files of the first versions leave the kind out; then the field that is set tells.
Proto::AttributeType kind_of(const Proto& a) {
  if (a.type() != Proto::UNDEFINED) return a.type();
  if (a.has_f()) return Proto::FLOAT;
  if (a.has_i()) return Proto::INT;
  if (a.has_s()) return Proto::STRING;
  if (a.has_t()) return Proto::TENSOR;
  if (a.has_g()) return Proto::GRAPH;
  if (a.graphs_size() > 0) return Proto::GRAPHS;
  if (a.has_tp()) return Proto::TYPE_PROTO;
  if (a.floats_size() > 0) return Proto::FLOATS;
  if (a.strings_size() > 0) return Proto::STRINGS;
  return Proto::INTS;
}

AttributeValue decode(const Proto& a, const std::string& where, ExternalData* external,
                      const SubgraphReader& subgraph) {
  switch (kind_of(a)) {
    case Proto::FLOAT: return a.f();
    case Proto::INT: return int64_t{a.i()};
    case Proto::STRING: return a.s();
    case Proto::TENSOR:
      return decode_tensor(a.t(), where + ", attribute '" + a.name() + "'", external);
    case Proto::FLOATS: return std::vector<float>(a.floats().begin(), a.floats().end());
    case Proto::INTS: return std::vector<int64_t>(a.ints().begin(), a.ints().end());
    case Proto::STRINGS: return std::vector<std::string>(a.strings().begin(), a.strings().end());
    case Proto::GRAPH: return subgraph(a.name(), a.g());
    case Proto::TYPE_PROTO: return decode_type(a.tp(), where + ", attribute '" + a.name() + "'");
    default:
      throw unsupported(where, "attribute '" + a.name() + "' is of a kind without a place here");
  }
}

struct Encoder {
  Proto& proto;
  const SubgraphWriter& subgraph;
  void operator()(int64_t v) {
    proto.set_type(Proto::INT);
    proto.set_i(v);
  }
  void operator()(float v) {
    proto.set_type(Proto::FLOAT);
    proto.set_f(v);
  }
  void operator()(const std::string& v) {
    proto.set_type(Proto::STRING);
    proto.set_s(v);
  }
  void operator()(const Tensor& v) {
    proto.set_type(Proto::TENSOR);
    encode_tensor(v, "", *proto.mutable_t());
  }
  void operator()(const std::vector<int64_t>& v) {
    proto.set_type(Proto::INTS);
    for (int64_t i : v) proto.add_ints(i);
  }
  void operator()(const std::vector<float>& v) {
    proto.set_type(Proto::FLOATS);
    for (float f : v) proto.add_floats(f);
  }
  void operator()(const std::vector<std::string>& v) {
    proto.set_type(Proto::STRINGS);
    for (const auto& s : v) proto.add_strings(s);
  }
  void operator()(const GraphRef& v) {
    ESP_CHECK(subgraph != nullptr, "a subgraph is written by whoever writes graphs");
    proto.set_type(Proto::GRAPH);
    subgraph(*v, *proto.mutable_g());
  }
  void operator()(const Type& v) {
    proto.set_type(Proto::TYPE_PROTO);
    encode_type(v, *proto.mutable_tp());
  }
};

}  // namespace

std::string domain_of(const onnx::NodeProto& node) {
  return node.domain() == "ai.onnx" ? "" : node.domain();
}

std::string describe(const onnx::NodeProto& node) {
  const std::string domain = domain_of(node);
  std::string label = node.name();
  if (label.empty() && node.output_size() > 0) label = node.output(0);
  return (domain.empty() ? "" : domain + ".") + node.op_type() + " '" + label + "'";
}

AttributeMap decode_attributes(const onnx::NodeProto& node, const std::string& where,
                               ExternalData* external, const SubgraphReader& subgraph) {
  AttributeMap map;
  for (const Proto& a : node.attribute())
    if (!map.emplace(a.name(), decode(a, where, external, subgraph)).second)
      throw bad_input(where, "attribute '" + a.name() + "' stands there twice");
  return map;
}

void encode_attribute(const std::string& name, const AttributeValue& value, Proto& proto,
                      const SubgraphWriter& subgraph) {
  proto.set_name(name);
  std::visit(Encoder{proto, subgraph}, value);
}

}  // namespace espalier

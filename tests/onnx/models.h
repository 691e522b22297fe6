// Small ONNX models written down in tests.
#pragma once

#include <string>
#include <vector>

#include "ir/attribute.h"
#include "ir/graph.h"
#include "onnx/attributes.h"
#include "onnx/import.h"
#include "onnx/onnx_proto.h"
#include "onnx/tensor_proto.h"

namespace espalier::testing {

/// A model under construction: `model.proto` may be damaged at will before it is imported.
struct OnnxModel {
  onnx::ModelProto proto;

  explicit OnnxModel(int64_t opset = 17) {
    proto.set_ir_version(8);
    proto.add_opset_import()->set_version(opset);
    proto.mutable_graph()->set_name("test");
  }
  onnx::GraphProto& graph() { return *proto.mutable_graph(); }

  static void describe(onnx::ValueInfoProto& info, const std::string& name,
                       const std::vector<int64_t>& shape, int32_t type) {
    info.set_name(name);
    auto& tensor = *info.mutable_type()->mutable_tensor_type();
    tensor.set_elem_type(type);
    tensor.mutable_shape();
    for (int64_t d : shape) tensor.mutable_shape()->add_dim()->set_dim_value(d);
  }
  OnnxModel& input(const std::string& name, const std::vector<int64_t>& shape, int32_t type = 1) {
    describe(*graph().add_input(), name, shape, type);
    return *this;
  }
  /// Its shape is left for inference to find.
  OnnxModel& output(const std::string& name, int32_t type = 1) {
    auto& info = *graph().add_output();
    info.set_name(name);
    info.mutable_type()->mutable_tensor_type()->set_elem_type(type);
    return *this;
  }
  OnnxModel& constant(const std::string& name, const Tensor& value) {
    encode_tensor(value, name, *graph().add_initializer());
    return *this;
  }
  OnnxModel& node(const std::string& op, const std::vector<std::string>& inputs,
                  const std::vector<std::string>& outputs, const AttributeMap& attributes = {},
                  const std::string& name = "") {
    auto& n = *graph().add_node();
    n.set_op_type(op);
    n.set_name(name);
    for (const auto& i : inputs) n.add_input(i);
    for (const auto& o : outputs) n.add_output(o);
    for (const auto& [key, value] : attributes) encode_attribute(key, value, *n.add_attribute());
    return *this;
  }
  std::string bytes() const { return proto.SerializeAsString(); }
  Graph import() const { return import_onnx_bytes(bytes(), "net.onnx"); }
};

}  // namespace espalier::testing

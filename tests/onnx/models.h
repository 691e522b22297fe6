// Small ONNX models written down in tests.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "ir/attribute.h"
#include "ir/graph.h"
#include "onnx/attributes.h"
#include "onnx/import.h"
#include "onnx/onnx_proto.h"
#include "onnx/tensor_proto.h"

namespace espalier::testing {

/// Deterministic values between -size and size, other ones for each `seed`.
inline Tensor wave(Shape shape, int seed, double size = 1) {
  Tensor t(DType::f32, std::move(shape));
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] = float(size * std::sin(1.7 * double(i) + 2.3 * seed + 0.5));
  return t;
}
/// Deterministic integers from lo to hi, both inclusive.
inline Tensor steps(Shape shape, int seed, int lo, int hi, DType type) {
  Tensor t(DType::i64, std::move(shape));
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<int64_t>()[i] = lo + (i * 37 + 11 * seed + i * i % 5) % (hi - lo + 1);
  return t.cast(type);
}

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
  /// i8 or u8 values stored as INT4 or UINT4, two to a byte.
  OnnxModel& four_bit(const std::string& name, const Tensor& value) {
    std::string bytes(size_t(value.size() + 1) / 2, char(0));
    for (int64_t i = 0; i < value.size(); ++i)
      bytes[size_t(i / 2)] = char(bytes[size_t(i / 2)] | ((value.int_at(i) & 15) << (i % 2 * 4)));
    auto& t = *graph().add_initializer();
    t.set_name(name);
    t.set_data_type(value.dtype() == DType::i8 ? 22 : 21);
    for (int64_t d : value.shape()) t.add_dims(d);
    t.set_raw_data(bytes);
    return *this;
  }
  /// `op` may have a domain before it: "com.microsoft.Gelu".
  OnnxModel& node(const std::string& op, const std::vector<std::string>& inputs,
                  const std::vector<std::string>& outputs, const AttributeMap& attributes = {},
                  const std::string& name = "") {
    auto& n = *graph().add_node();
    const size_t dot = op.rfind('.');
    if (dot != std::string::npos) {
      n.set_domain(op.substr(0, dot));
      auto& domain = *proto.add_opset_import();
      domain.set_domain(n.domain());
      domain.set_version(1);
    }
    n.set_op_type(dot == std::string::npos ? op : op.substr(dot + 1));
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

#include "onnx/type_proto.h"

#include "base/error.h"
#include "ir/room.h"
#include "onnx/onnx_proto.h"
#include "onnx/tensor_proto.h"

namespace espalier {
namespace {

Type tensor_type(const onnx::TypeProto_Tensor& t, const std::string& where) {
  const DType dtype = element_type(t.elem_type(), where);
  if (!t.has_shape()) return UnrankedType{dtype};
  TensorType type(dtype, Dims{});
  for (const auto& d : t.shape().dim()) {
    if (d.has_dim_value()) {
      if (d.dim_value() < 0)
        throw bad_input(where, "has the negative dimension " + std::to_string(d.dim_value()),
                        "give an open dimension a name instead");
      type.dims.emplace_back(d.dim_value());
    } else {
      type.dims.push_back(d.dim_param().empty() ? Dim::unknown() : Dim::symbol(d.dim_param()));
    }
  }
  return type;
}

}  // namespace

Type decode_type(const onnx::TypeProto& proto, const std::string& where) {
  if (proto.has_tensor_type()) return tensor_type(proto.tensor_type(), where);
  if (proto.has_sequence_type())
    return sequence_of(decode_type(proto.sequence_type().elem_type(), where));
  if (proto.has_optional_type())
    return optional_of(decode_type(proto.optional_type().elem_type(), where));
  throw unsupported(where, "is neither a tensor nor a sequence or optional of tensors");
}

void encode_type(const Type& type, onnx::TypeProto& proto) {
  if (type.is_sequence())
    return encode_type(type.element(), *proto.mutable_sequence_type()->mutable_elem_type());
  if (type.is_optional())
    return encode_type(type.element(), *proto.mutable_optional_type()->mutable_elem_type());
  auto& tensor = *proto.mutable_tensor_type();
  tensor.set_elem_type(int32_t(detail::onnx_number(*element_type_of(type))));
  if (type.is_unranked()) return;
  auto& shape = *tensor.mutable_shape();
  for (const Dim& d : type.tensor().dims) {
    auto& dim = *shape.add_dim();
    if (d.known())
      dim.set_dim_value(d.value());
    else if (!d.name().empty())
      dim.set_dim_param(d.name());
  }
}

}  // namespace espalier

// Types between ONNX files and graphs.
#pragma once

#include <string>

#include "ir/type.h"

namespace onnx {
class TypeProto;
}

namespace espalier {

/// Tensors without a shape are of unknown rank. UserError at `where` for maps, sparse tensors,
/// element types without a place here and negative dimensions.
Type decode_type(const onnx::TypeProto& proto, const std::string& where);
void encode_type(const Type& type, onnx::TypeProto& proto);

}  // namespace espalier

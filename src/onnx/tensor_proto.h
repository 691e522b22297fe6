// Tensors as ONNX files carry them: raw bytes, typed fields, or bytes in a file beside the model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "tensor/tensor.h"

namespace onnx {
class GraphProto;
class TensorProto;
}  // namespace onnx

namespace espalier {

class MappedFile;

/// Opens the files that hold a model's external data, each mapped once. Locations are relative to
/// the model's folder and may not leave it.
class ExternalData {
 public:
  explicit ExternalData(std::filesystem::path folder) : folder_(std::move(folder)) {}
  /// The mapping of `location`. UserError at `where` if it is missing or lies outside the folder.
  std::shared_ptr<const MappedFile> open(const std::string& location, const std::string& where);

 private:
  std::filesystem::path folder_;
  std::map<std::string, std::shared_ptr<const MappedFile>> open_;
};

/// The element type of ONNX's number. UserError(unsupported) at `where` for types without a place
/// here (complex numbers, 8-bit floats), bad input for numbers that mean nothing. Integers of 4
/// bits are kept in 8.
DType element_type(int32_t number, const std::string& where);
/// ONNX's INT4 and UINT4, which travel two to a byte.
bool has_four_bits(int32_t number);

/// The tensor. Sizes are checked against the bytes present before anything is allocated. UserError
/// at `where` for whatever does not fit together. `external` may be null: then external data is
/// refused.
Tensor decode_tensor(const onnx::TensorProto& proto, const std::string& where,
                     ExternalData* external);

/// The raw bytes of large initialisers of a graph, taken out of it, by tensor: their tensors keep
/// them instead of a copy.
using TakenBytes = std::map<const onnx::TensorProto*, std::shared_ptr<const std::string>>;
TakenBytes take_bytes(onnx::GraphProto& graph);
/// A tensor of such a graph.
Tensor decode_tensor(const onnx::TensorProto& proto, const std::string& where,
                     ExternalData* external, const TakenBytes& taken);

/// The tensor as raw bytes (strings as strings).
void encode_tensor(const Tensor& tensor, const std::string& name, onnx::TensorProto& proto);

/// A file that holds one serialised TensorProto (`input_0.pb`).
Tensor read_tensor_proto(const std::filesystem::path& path);
/// The bytes of such a file.
std::string tensor_proto_bytes(const Tensor& tensor, const std::string& name);

}  // namespace espalier

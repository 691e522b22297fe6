// safetensors: named tensors in one file, as Hugging Face specifies it. Eight bytes give the length
// of a JSON header (little-endian), the header names each tensor's type, shape and place, the
// elements follow. Written with the largest element types first, so that all are aligned.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "tensor/tensor.h"

namespace espalier {

/// Named tensors and free-form facts about them.
struct TensorFile {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

/// The file's bytes. UserError (unsupported) for a tensor of strings.
std::string encode_safetensors(const TensorFile& file);
/// The inverse; tensors own their elements. UserError naming `where` for anything that is not one
/// whole file: a header that is cut off or no JSON, an unknown type, a place outside the file,
/// places that overlap or leave gaps, a shape that does not fill its place.
TensorFile decode_safetensors(std::string_view bytes, const std::string& where);

/// Writes atomically, tensor by tensor.
void save_safetensors(const TensorFile& file, const std::filesystem::path& path);
/// The file, mapped: tensors are views of it as far as their elements are aligned, so nothing is in
/// memory twice, nor before it is read.
TensorFile load_safetensors(const std::filesystem::path& path);

/// CRC-32 of names, types, shapes and elements, in order of names. Metadata does not count.
uint32_t checksum(const TensorFile& file);

}  // namespace espalier

// Tensors as files, by suffix: .npy, and .pb (a serialised ONNX tensor).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace espalier::cli {

/// UserError(usage) for an unknown suffix.
Tensor read_tensor_file(const std::filesystem::path& path);

/// `KIND_0.pb`, `KIND_1.pb`, … of a folder, as ONNX test vectors are named.
std::vector<Tensor> read_test_vectors(const std::filesystem::path& folder, const std::string& kind);

/// A file name made from a value's: what file systems do not like becomes '_'.
std::string file_name_of(const std::string& value_name);

}  // namespace espalier::cli

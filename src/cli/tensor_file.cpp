#include "cli/tensor_file.h"

#include "base/error.h"
#include "formats/npy.h"
#include "onnx/tensor_proto.h"

namespace espalier::cli {
namespace fs = std::filesystem;

Tensor read_tensor_file(const fs::path& path) {
  const std::string suffix = path.extension().string();
  if (suffix == ".npy") return load_npy(path);
  if (suffix == ".pb") return read_tensor_proto(path);
  throw usage_error(path.string(), "has a suffix that names no tensor format",
                    "tensors are read from .npy and .pb");
}

std::vector<Tensor> read_test_vectors(const fs::path& folder, const std::string& kind) {
  std::vector<Tensor> tensors;
  for (int i = 0;; ++i) {
    const fs::path path = folder / (kind + "_" + std::to_string(i) + ".pb");
    if (!fs::exists(path)) return tensors;
    tensors.push_back(read_tensor_proto(path));
  }
}

std::string file_name_of(const std::string& value_name) {
  std::string name;
  for (char c : value_name)
    name += isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_' ? c : '_';
  return name.starts_with(".") ? "_" + name : name;
}

}  // namespace espalier::cli

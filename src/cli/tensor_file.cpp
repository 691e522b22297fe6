#include "cli/tensor_file.h"

#include "base/error.h"
#include "formats/npy.h"
#include "onnx/datum_proto.h"

namespace espalier::cli {
namespace fs = std::filesystem;

Datum read_value_file(const fs::path& path, const Type& type) {
  const std::string suffix = path.extension().string();
  if (suffix == ".pb") return read_datum_proto(path, type);
  if (suffix == ".npy" && element_type_of(type)) return load_npy(path);
  if (suffix == ".npy")
    throw usage_error(path.string(), "holds a tensor where " + to_string(type) + " is asked for",
                      "sequences and optionals are read from .pb");
  throw usage_error(path.string(), "has a suffix that names no tensor format",
                    "tensors are read from .npy and .pb");
}

std::vector<Datum> read_test_vectors(const fs::path& folder, const std::string& kind,
                                     const std::vector<Type>& types) {
  std::vector<Datum> data;
  for (size_t i = 0;; ++i) {
    const fs::path path = folder / (kind + "_" + std::to_string(i) + ".pb");
    if (!fs::exists(path)) return data;
    data.push_back(read_datum_proto(path, i < types.size() ? types[i] : Type()));
  }
}

std::string file_name_of(const std::string& value_name) {
  std::string name;
  for (char c : value_name)
    name += isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_' ? c : '_';
  return name.starts_with(".") ? "_" + name : name;
}

}  // namespace espalier::cli

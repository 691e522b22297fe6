// Values as files, by suffix: .npy, and .pb (a serialised ONNX tensor, sequence or optional).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "ir/datum.h"

namespace espalier::cli {

/// A value of that type; sequences and optionals are read from .pb only. UserError(usage) for an
/// unknown suffix.
Datum read_value_file(const std::filesystem::path& path, const Type& type);

/// `KIND_0.pb`, `KIND_1.pb`, … of a folder, as ONNX test vectors are named, with the types they
/// have (those beyond are taken for tensors).
std::vector<Datum> read_test_vectors(const std::filesystem::path& folder, const std::string& kind,
                                     const std::vector<Type>& types);

/// A file name made from a value's: what file systems do not like becomes '_'.
std::string file_name_of(const std::string& value_name);

}  // namespace espalier::cli

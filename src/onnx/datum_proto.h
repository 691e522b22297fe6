// Files that hold one value as ONNX's test vectors do: a tensor, a sequence, an optional.
#pragma once

#include <filesystem>

#include "ir/datum.h"

namespace espalier {

/// The value in a file (`input_0.pb`), whose kind only `type` tells. UserError
/// where the file holds something else.
Datum read_datum_proto(const std::filesystem::path& path, const Type& type);

}  // namespace espalier

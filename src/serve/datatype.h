// Element types as the Open Inference Protocol names them.
#pragma once

#include <optional>
#include <string_view>

#include "tensor/dtype.h"

namespace espalier::serve {

/// "FP32", "BF16", "BOOL", "BYTES" (strings).
std::string_view datatype_of(DType type);
std::optional<DType> dtype_from_datatype(std::string_view datatype);

}  // namespace espalier::serve

// Attributes of LayerNormalization.
#pragma once

#include <cstdint>

namespace espalier::ops {

struct LayerNormalization {
  int64_t axis = -1;  ///< the first normalised axis
  float epsilon = 1e-5f;
  int64_t stash_type = 1;  ///< ONNX's number of the statistics' element type
};

}  // namespace espalier::ops

// Attributes of LayerNormalization and of its gradient.
#pragma once

#include <cstdint>

#include "ir/builder.h"

namespace espalier::ops {

struct LayerNormalization {
  int64_t axis = -1;  ///< the first normalised axis
  float epsilon = 1e-5f;
  int64_t stash_type = 1;  ///< ONNX's number of the statistics' element type
};

struct LayerNormGrad {
  int64_t axis = -1;
};

/// dx, dscale and dbias (of scale's extents) in simpler operators; see LayerNormGrad.
Values layer_norm_gradients(Builder& b, int64_t axis, ValueId dy, ValueId x, ValueId scale,
                            ValueId mean, ValueId inv_std);

}  // namespace espalier::ops

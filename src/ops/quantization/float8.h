// What quantising to 8-bit floats and back share: see tensor/float8.h.
#pragma once

#include "ops/common.h"
#include "tensor/float8.h"

namespace espalier::ops {

struct Float8Attributes {
  std::string format = "e4m3";
  int64_t group = 0;  ///< consecutive elements with one scale; 0: all
  bool expand = false;
  DType to = DType::f32;  ///< what is dequantised becomes this

  Float8Groups groups() const { return {float8_named(format), group, expand}; }
};

/// Refuses attributes that are none.
void check_float8(const Float8Attributes& a, const TypesIn& in);
/// Scales, and with expansion powers, of n elements: bf16 [groups, 1 or 2].
TensorType float8_scales(const Float8Attributes& a, const Dims& of);

}  // namespace espalier::ops

// Real numbers stored as 8-bit integers.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace espalier::kernels {

/// saturate(round(x / scale) + zero point), halves to even; NaN is stored as the zero point.
struct Quantised {
  DType type = DType::u8;  ///< u8 or i8
  float scale = 1;
  int32_t zero_point = 0;

  bool operator==(const Quantised&) const = default;
};

/// Stores n numbers so.
void quantise(const float* x, const Quantised& to, void* y, int64_t n);

}  // namespace espalier::kernels

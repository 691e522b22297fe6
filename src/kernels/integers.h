// 8-bit integers to wider numbers and back, on the calling thread.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace espalier::kernels {

/// y[i] = x[i] - zero of n numbers of type u8 or i8.
void widen(const void* x, DType type, int32_t zero, int16_t* y, int64_t n);

/// y[i] = saturate(round(x[i])), halves to even, as u8 or i8; NaN becomes 0.
void narrow(const float* x, DType type, void* y, int64_t n);

}  // namespace espalier::kernels

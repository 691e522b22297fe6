// The largest element of each window, activations channels-last.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace espalier::kernels {

/// One spatial axis: output i sees the inputs i stride - begin + k dilation for k < kernel.
struct PoolAxis {
  int64_t in = 1, out = 1, kernel = 1, stride = 1, dilation = 1, begin = 0;
};

/// x [images, rows.in, columns.in, channels] to y [images, rows.out, columns.out, channels]. Every
/// window sees an element.
struct MaxPool {
  DType type = DType::f32;  ///< f32, u8 or i8
  int64_t images = 1, channels = 1;
  PoolAxis rows, columns;
};
void max_pool(const MaxPool& pool, const void* x, void* y);

}  // namespace espalier::kernels

// The inner loops of the depthwise convolution of 8-bit integers; private to it.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace espalier::kernels {

/// Channels that are computed together.
inline constexpr int64_t kDepthwiseChannels = 16;

/// A row of y for 16 channels. Rows of x, weights and what is per channel are f32, 16 for each
/// column, tap or once.
struct DepthwiseRow {
  const float* const* rows;  ///< of the window
  int64_t window_rows, window_columns, stride, dilation;
  const float *weights, *bias, *scales;
  float low, high;  ///< y = clamp(sum scale + bias, low, high), rounded if 8 bit
  int64_t pixels;
  DType y_type;  ///< u8, i8 or f32
  void* y;
  int64_t y_step;  ///< elements from a pixel to the next
};

/// 16 channels of `count` pixels, which lie `step` bytes apart, as f32, `zero` taken off.
void depthwise_columns(const void* x, DType type, float zero, int64_t step, int64_t count,
                       float* y);
void depthwise_row(const DepthwiseRow& row);

}  // namespace espalier::kernels

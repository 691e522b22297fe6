// The inner loops of the 8-bit depthwise convolution; private to it.
#pragma once

#include <cstdint>

namespace espalier::kernels {

/// A row of output pixels for a block of 16, 32 or 64 channels. The rows of the window are taken in
/// groups of four, of which a dot product takes one column at a time.
///
/// Sums come in four vectors: of each 16 channels, vector v holds those from 4 v on. Two packings
/// bring them back into order, so no result is moved. Weights are [group][column][channel in the
/// order of the vectors][row in group]; `start`, `scales` and `bias` stand in that order too. All
/// are aligned to 64 bytes.
struct Int8DepthwiseRow {
  /// Of each row of the window: where its first column of this block lies, and the bytes from a
  /// column to the next (0 where the row is padding).
  const uint8_t* const* rows;
  const int64_t* steps;
  int64_t window_rows, window_columns;
  int64_t stride, dilation;  ///< along the row
  int64_t first;             ///< column of the source that the first pixel's window begins with
  int64_t width;             ///< columns of the source; padding lies before and behind
  int64_t pixels;
  uint8_t flip;  ///< makes bytes of the source unsigned
  uint8_t fill;  ///< of padding, unsigned
  const int8_t* weights;
  const int32_t* start;
  const float *scales, *bias;
  bool clamps;
  uint8_t low, high;  ///< bytes are cut off there, as signed numbers where the result is signed
  void* y;            ///< bytes, or sums in the order of the channels
  int64_t y_step;     ///< elements from a pixel's results to the next's
};

enum class Int8DepthwiseResult : uint8_t { kU8, kI8, kSums };

/// Pixels of a row that one call may compute; 0 if not even one.
int64_t int8_depthwise_pixels(const Int8DepthwiseRow& row);

/// `channels`: 16, 32 or 64. Needs AVX-512 with VNNI.
void int8_depthwise_row(const Int8DepthwiseRow& row, int channels, Int8DepthwiseResult result);

}  // namespace espalier::kernels

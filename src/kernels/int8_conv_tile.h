// The inner loops of the 8-bit convolution; private to it.
#pragma once

#include <cstdint>

namespace espalier::kernels {

struct Int8Epilogue {
  enum Kind : uint8_t { kNone, kU8, kI8, kF32 };
  Kind result = kU8, residual = kNone;
  bool clamps = false;
  float low, high;  ///< with the zero point of the result, as the bias is
  float residual_scale, residual_zero;
};

struct Int8ConvSpec;

/// What follows the sums; checks the types and the number of scales.
Int8Epilogue int8_conv_epilogue(const Int8ConvSpec& spec);

/// A row of output pixels for up to 32 channels.
struct Int8Tile {
  const uint8_t* image;    ///< the first tap of the first pixel
  int triples;             ///< the row's stride if its taps come in threes, else 0
  int64_t column;          ///< bytes from a column of the image to the next
  int64_t step;            ///< bytes from a pixel to the next
  const int32_t* offsets;  ///< of each group of four taps
  int64_t taps;            ///< groups of four
  const int8_t* weights;   ///< [taps][3 if triples][vectors][16][4]
  const int32_t* start;
  const float *scales, *bias;
  int64_t channels;  ///< written; fewer than 16 per vector at the end
  int64_t stride;    ///< elements from a pixel's results to the next's
  const Int8Epilogue* epilogue;
  void* y;
  const uint8_t* residual;
};

/// Writes the results of sums of up to 16 channels from `channel` on, for the first `pixels`
/// pixels, which lie `sums_stride` apart. Needs AVX-512.
void int8_conv_finish(const Int8Tile& tile, const int32_t* sums, int64_t sums_stride,
                      int64_t channel, int64_t pixels);

/// Computes `pixels` pixels of the row; `vectors` is 1 or 2. Needs AVX-512 with VNNI.
void int8_conv_row(const Int8Tile& tile, int vectors, int64_t pixels);

}  // namespace espalier::kernels

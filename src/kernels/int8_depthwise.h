// Depthwise convolution on 8-bit integers, each channel with its own window, by AVX-512 VNNI: a dot
// product of four takes a column of up to four rows of the window for 16 channels. Nothing is
// copied beforehand; padding is met row by row and column by column.
#pragma once

#include "kernels/int8_conv.h"

namespace espalier::kernels {

/// Why this kernel does not serve the convolution; null if it does. `w` is C, 1, KH, KW.
const char* int8_depthwise_refusal(const Int8ConvSpec& spec);

/// Prepared weights; immutable. The machine must have what `int8_conv_available` asks for.
class Int8Depthwise {
 public:
  explicit Int8Depthwise(const Int8ConvSpec& spec);
  ~Int8Depthwise();
  size_t packed_bytes() const;
  /// `residual` and `y` may not share memory.
  void run(const void* x, const void* residual, void* y) const;

  struct Plan;

 private:
  std::unique_ptr<const Plan> plan_;
};

}  // namespace espalier::kernels

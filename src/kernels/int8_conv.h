// Convolution on 8-bit integers for few channels, where a direct kernel on AVX-512 VNNI is faster
// than oneDNN's: the source is copied once into a padded image (which makes zero points, signed
// sources and odd channel counts free), and each output pixel is a run of dot products of four.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace espalier::kernels {

/// What the kernel assumes is checked where it is prepared.
struct Int8ConvSpec {
  Shape x, y, w;  ///< N, C, H, W; x and y channels-last in memory; w is O, I, KH, KW in rows
  DType x_type = DType::u8,
        y_type = DType::u8;  ///< u8 or i8; y also f32, where nothing is quantised
  int32_t x_zero_point = 0;
  std::vector<int64_t> strides, dilations, pads_begin;
  const int8_t* weights = nullptr;
  std::vector<float> scales;  ///< of the sum, in units of the result: one, or one per channel
  std::vector<float> bias;    ///< per output channel, in real units divided by the result's scale
  /// Result = clamp(sum * scales + bias + residual_scale * (residual - residual_zero), low, high)
  ///          + y_zero_point, rounded and saturated.
  float low = 0, high = 0;
  bool clamps = false;
  bool residual = false;
  DType residual_type = DType::u8;  ///< u8 or i8
  float residual_scale = 1, residual_zero = 0;
  float y_zero_point = 0;
};

/// Whether this machine has what the kernel needs (and AMX, which would beat it, is absent).
bool int8_conv_available();

/// Prepared weights; immutable.
class Int8Conv {
 public:
  explicit Int8Conv(const Int8ConvSpec& spec);
  ~Int8Conv();
  size_t scratch_bytes() const;
  size_t packed_bytes() const;
  void run(const void* x, const void* residual, void* y, void* scratch) const;

  struct Plan;

 private:
  std::unique_ptr<const Plan> plan_;
};

}  // namespace espalier::kernels

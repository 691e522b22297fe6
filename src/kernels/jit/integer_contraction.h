// A convolution or a matrix product of 8-bit integers with constant weights: what generated code
// computes of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>

#include "kernels/convolution.h"

namespace espalier::kernels {

/// What is computed, for x [images, rows, columns, channels] and y alike, channels innermost. A
/// product has one row for each of a's, and one column.
struct IntegerContraction {
  using Pair = std::array<int64_t, 2>;  ///< along rows, along columns
  DType x_type = DType::u8;             ///< u8 or i8
  DType y_type = DType::u8;             ///< u8, i8 or f32
  int32_t x_zero_point = 0;             ///< also what x is padded with
  int64_t images = 1, channels = 0, outputs = 0;
  Pair x{1, 1}, y{1, 1}, window{1, 1}, strides{1, 1}, dilations{1, 1}, pads{0, 0};
  const int8_t* weights = nullptr;
  int64_t output_stride = 0, channel_stride = 0;  ///< between weights
  Pair window_strides{0, 0};                      ///< between weights
  const float* bias = nullptr;                    ///< one per output in units of the sum, or null
  Epilogue epilogue;
  size_t x_operand = 0;

  double macs() const {
    return double(images * y[0] * y[1]) * double(window[0] * window[1] * channels * outputs);
  }
};

/// The convolution or the product as such a contraction, or why generated code does not serve it.
std::variant<IntegerContraction, std::string> integer_contraction(const ConvSpec& spec);
std::variant<IntegerContraction, std::string> integer_contraction(const MatmulSpec& spec);

}  // namespace espalier::kernels

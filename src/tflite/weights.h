// Weights and biases as our operators take them.
#pragma once

#include "tflite/operator.h"

namespace espalier::tflite {

enum class WeightUse {
  kConv,        ///< [O, H, W, I] -> [O, I, H, W]
  kDepthwise,   ///< [1, H, W, C m] -> [C m, 1, H, W]
  kTransposed,  ///< [O, H, W, I] -> [I, O, H, W]
  kMatrix,      ///< [O, I]
};

/// The weight's real numbers. One that is quantised is stored as signed 8-bit integers, where that
/// can be done without loss with a zero point of 0, for that is what integer kernels take.
ValueId prepared_weight(const Operator& o, int32_t t, WeightUse use);

/// The bias' real numbers, or kNoValue without one. An integer bias is in units of the products of
/// operand `x` by weight `w`.
ValueId prepared_bias(const Operator& o, int32_t t, int32_t x, int32_t w, int64_t channels);

}  // namespace espalier::tflite

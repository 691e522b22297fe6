// Pooling by oneDNN, forward and backward; activations channels-last.
#pragma once

#include <vector>

#include "kernels/primitive.h"
#include "tensor/tensor.h"

namespace espalier::kernels {

struct PoolSpec {
  enum class Kind : uint8_t { kMax, kAverage, kAverageWithPadding } kind = Kind::kMax;
  DType type = DType::f32;
  Shape x, y;
  /// One entry per spatial dimension; dilation 1 is dense.
  std::vector<int64_t> kernel, strides, dilations, pads_begin;
  /// Applied to each result: y * scale + offset (for 8-bit results).
  float scale = 1, offset = 0;
  DType y_type = DType::f32;
};
/// Result 0 from operand x.
Prepared prepare_pool(const PoolSpec& spec);
/// Result dx from operands x (0) and dy (1): finds the largest elements again.
Prepared prepare_max_pool_grad(const PoolSpec& spec);
/// Result dx from operand dy.
Prepared prepare_average_pool_grad(const PoolSpec& spec);

}  // namespace espalier::kernels

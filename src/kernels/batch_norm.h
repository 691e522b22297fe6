// Batch normalisation in training, forward and backward, on matrices of rows x channels (channels
// innermost). Sums run over fixed blocks of rows and are combined in double in their order, so that
// results do not depend on the number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "tensor/dtype.h"

namespace espalier::kernels {

/// Elements are f32 or bf16; everything per channel is f32.
struct BatchNormShape {
  DType type = DType::f32;
  int64_t rows = 0, channels = 0;
};
/// Bytes of scratch either direction needs.
size_t batch_norm_scratch(const BatchNormShape& shape);

/// What the normalised numbers are kept within.
struct NormBounds {
  std::optional<float> low, high;
};

struct BatchNormForward {
  const void* x;
  const float *scale, *bias;
  const float *mean, *var;  ///< running values before
  float epsilon, momentum;  ///< running = momentum * running + (1 - momentum) * batch's
  void* y;
  float *running_mean, *running_var;  ///< null where nobody asks
  float *saved_mean, *saved_inv_std;  ///< null where nobody asks
  const void* residual = nullptr;     ///< added to y before the bounds where given; like x
  NormBounds bounds = {};
};
void batch_norm_forward(const BatchNormShape& shape, const BatchNormForward& a, void* scratch);

struct BatchNormBackward {
  const void *x, *dy;
  const float *scale, *mean, *inv_std;
  void* dx;               ///< null where nobody asks
  float *dscale, *dbias;  ///< null where nobody asks
  /// The bounded result, or null: dy counts only where it lies between the bounds.
  const void* y = nullptr;
  NormBounds bounds = {};
};
void batch_norm_backward(const BatchNormShape& shape, const BatchNormBackward& a, void* scratch);

/// y = x * a[c] + b[c].
void scale_channels(const BatchNormShape& shape, const void* x, const float* a, const float* b,
                    void* y);

/// sums[c] = scale * sum over rows, in f32.
void sum_rows(const BatchNormShape& shape, const void* x, float scale, float* sums, void* scratch);

}  // namespace espalier::kernels

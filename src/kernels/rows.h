// Operators over rows of a matrix: softmax, its logarithm, cross-entropy, layer normalisation,
// sums, and their gradients. Elements are f32 or bf16; arithmetic is f32. A row is computed by one
// thread in one order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/quantise.h"
#include "tensor/dtype.h"

namespace espalier::kernels {

struct RowsShape {
  DType type = DType::f32;
  int64_t rows = 0, columns = 0;
};

void softmax_rows(const RowsShape& s, const void* x, void* y);
void log_softmax_rows(const RowsShape& s, const void* x, void* y);

/// y = scale (x - mean) / sqrt(var + epsilon) + bias, statistics of each row; scale and bias are
/// f32 of a row's length, either may be null; mean and inv_std (f32, one per row) may be null.
void layer_norm_rows(const RowsShape& s, const void* x, const float* scale, const float* bias,
                     float epsilon, void* y, float* mean, float* inv_std);

/// The same stored as 8-bit integers, and in f32 where `y` is not null; x is f32.
void layer_norm_rows_quantised(const RowsShape& s, const float* x, const float* scale,
                               const float* bias, float epsilon, const Quantised& to, void* q,
                               float* y);

/// dx = y (dy - sum of dy y), of each row.
void softmax_grad_rows(const RowsShape& s, const void* y, const void* dy, void* dx);

/// The gradient of layer_norm_rows from its statistics; see espalier.LayerNormGrad. `scale` is of
/// `scale_type` (f32 or bf16) as dscale and dbias are, either of which may be null.
void layer_norm_grad_rows(const RowsShape& s, const void* dy, const void* x, const void* scale,
                          DType scale_type, const float* mean, const float* inv_std, void* dx,
                          void* dscale, void* dbias, float* scratch);
size_t layer_norm_grad_scratch(const RowsShape& s);

/// The place of each row's largest element, the first of equals.
void arg_max_rows(const RowsShape& s, const float* x, int64_t* at);

/// y[r] = factor * sum of row r.
void sum_columns(const RowsShape& s, const void* x, float factor, void* y);

/// Mean softmax cross-entropy with label smoothing: the loss, and log-probabilities where not null.
/// Returns the first row whose label is no class, or -1.
int64_t cross_entropy(const RowsShape& s, const float* x, const int64_t* labels, float smoothing,
                      float* loss, float* log_p, float* scratch);
/// dx = (exp(log_p) - target) * dloss / rows. Returns as above.
int64_t cross_entropy_grad(const RowsShape& s, const float* log_p, const int64_t* labels,
                           float smoothing, float dloss, float* dx);

}  // namespace espalier::kernels

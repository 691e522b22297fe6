// Contractions by oneDNN: convolution forward and backward, matrix products, each with what follows
// it in the same pass over the result.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/primitive.h"
#include "tensor/scalar_op.h"
#include "tensor/tensor.h"

namespace espalier::kernels {

/// Applied to each element of a result, in order, while it is in registers. All arithmetic is f32;
/// the result is rounded and saturated to its type at the end.
struct EpilogueStep {
  enum class Kind : uint8_t {
    kScalar,    ///< y = op(y), a function of one operand
    kResidual,  ///< y += scale * r, r of the result's shape and layout
  } kind = Kind::kScalar;
  ScalarOp op;
  float scale = 1;
  DType residual_type = DType::f32;
  size_t operand = 0;  ///< where r comes from
};

/// Lowest and highest result of a step that only bounds it (ReLU, Clip); nothing of another.
std::optional<std::pair<float, float>> bounds_of(const EpilogueStep& step);

struct Epilogue {
  /// Multiplies the sum (bias included) before the steps: empty, one, or one per output channel.
  std::vector<float> scales;
  std::vector<EpilogueStep> steps;
};

/// Geometry in ONNX's terms, one entry per spatial dimension; dilation 1 is dense.
struct ConvGeometry {
  std::vector<int64_t> strides, dilations, pads_begin, pads_end;
  int64_t groups = 1;
};

/// An operand that is a constant (packed now) or comes at run time.
struct Weight {
  DType type = DType::f32;
  Shape shape;
  const void* constant = nullptr;
  size_t operand = 1;
};

struct ConvSpec {
  DType x_type = DType::f32, y_type = DType::f32;
  Shape x, y;  ///< logical: N, C, spatial…; both channels-last in memory
  size_t x_operand = 0;
  int32_t x_zero_point = 0;
  ConvGeometry geometry;
  Weight weight;               ///< O, I / groups, spatial…, row-major
  std::optional<Weight> bias;  ///< f32 or bf16 [O], in units of the unscaled sum
  Epilogue epilogue;
};
/// Result 0 = convolution of x.
Prepared prepare_convolution(const ConvSpec& spec);

/// Result 0 = transposed convolution of x; the weight is I, O / groups, spatial.
Prepared prepare_transposed_convolution(const ConvSpec& spec);

struct ConvGradSpec {
  DType type = DType::f32;         ///< of x, y and their gradients
  DType weight_type = DType::f32;  ///< of the weight, or of its gradient
  Shape x, y, w;
  ConvGeometry geometry;
};
/// Result 0 = dx from operands dy (0) and w (1).
Prepared prepare_convolution_grad_input(const ConvGradSpec& spec);
/// Result 0 = dw (row-major) from operands x (0) and dy (1).
Prepared prepare_convolution_grad_weight(const ConvGradSpec& spec);

/// y[..., M, N] = a[..., M, K] b[..., K, N]; strides in elements say how operands lie, leading
/// extents of 1 are broadcast.
struct MatmulSpec {
  DType a_type = DType::f32, b_type = DType::f32, y_type = DType::f32;
  Shape a, b, y;  ///< equal ranks
  std::vector<int64_t> a_strides, b_strides;
  const void* b_constant = nullptr;  ///< packed now
  size_t a_operand = 0, b_operand = 1;
  std::optional<Weight> bias;  ///< broadcastable to y, of y's rank
  Epilogue epilogue;
};
Prepared prepare_matmul(const MatmulSpec& spec);

}  // namespace espalier::kernels

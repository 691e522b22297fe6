// Chains of pointwise functions over tensors of different types and broadcasts, evaluated tile by
// tile on f32 lanes: intermediate results never leave the first-level cache.
#pragma once

#include <memory>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/scalar_op.h"
#include "tensor/shape.h"

namespace espalier::kernels {

struct PointwiseOperand {
  DType type = DType::f32;
  /// Element strides in the dimensions of the chain's shape; 0 where it is broadcast.
  std::vector<int64_t> strides;
};

struct PointwiseStep {
  ScalarOp op;
  /// Values: operand i is i, the result of step k is (number of operands) + k.
  int args[3] = {-1, -1, -1};
};

struct PointwiseChain {
  Shape shape;  ///< of every result, in memory order; results are contiguous
  std::vector<PointwiseOperand> operands;
  std::vector<PointwiseStep> steps;
  struct Result {
    int value;
    DType type = DType::f32;  ///< as stored; integers are rounded half to even and saturated
    float for_nan = 0;        ///< what integers hold where the value is NaN
  };
  std::vector<Result> results;
};

/// Element types that chains read and write: f32, bf16, bool, u8 and i8.
bool pointwise_handles(DType type);

/// y = op(x), a function of one operand, on the calling thread; y may be x.
void apply_scalar(const ScalarOp& op, const float* x, float* y, size_t n);
/// y += scale x, on the calling thread.
void add_scaled(const float* x, float scale, float* y, size_t n);

/// A chain prepared for running; immutable.
class PointwiseKernel {
 public:
  explicit PointwiseKernel(PointwiseChain chain);
  ~PointwiseKernel();
  /// A result may lie where an operand of its shape and element width lies.
  void run(const void* const* operands, void* const* results) const;
  /// Operand i covers the whole shape contiguously.
  bool covers(size_t operand) const;

  struct Plan;

 private:
  std::unique_ptr<const Plan> plan_;
};

}  // namespace espalier::kernels

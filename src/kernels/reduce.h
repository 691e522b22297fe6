// Reductions along one axis of [outer, count, inner], elements f32 or bf16, sums in f32. The order
// of additions is fixed.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace espalier::kernels {

enum class Reduction : uint8_t { kSum, kMean, kMax, kMin, kSumSquare };

/// Results that lie side by side and are made together.
constexpr int64_t kReduceBlock = 1024;

struct ReduceShape {
  DType type = DType::f32;
  int64_t outer = 1, count = 1, inner = 1;
  DType result = type;

  /// Blocks of each `outer`.
  int64_t blocks() const { return (inner + kReduceBlock - 1) / kReduceBlock; }
};
/// y[o, i] = reduction over c of x[o, c, i]; NaN anywhere gives NaN.
void reduce(Reduction how, const ReduceShape& s, const void* x, void* y);

}  // namespace espalier::kernels

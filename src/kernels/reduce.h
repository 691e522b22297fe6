// Reductions along one axis of [outer, count, inner], elements f32 or bf16, sums in f32 (f64 where
// long). The order of additions is fixed.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace espalier::kernels {

enum class Reduction : uint8_t { kSum, kMean, kMax, kMin, kSumSquare };

struct ReduceShape {
  DType type = DType::f32;
  int64_t outer = 1, count = 1, inner = 1;
};
/// y[o, i] = reduction over c of x[o, c, i]; NaN anywhere gives NaN.
void reduce(Reduction how, const ReduceShape& s, const void* x, void* y);

}  // namespace espalier::kernels

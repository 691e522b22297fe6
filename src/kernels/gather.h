// Slices picked by number, and their gradient. The data is [outer, extent, run], what is picked
// [outer, picks, run]; negative numbers count from the back.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace espalier::kernels {

struct GatherShape {
  int64_t outer = 1, extent = 0, run = 1, picks = 0;
};

/// Copies slices of elements of `width` bytes. Returns the first pick that is outside the extent,
/// or -1; nothing is copied then.
int64_t gather(const GatherShape& s, size_t width, const void* data, const int64_t* picks,
               void* out);
/// dx = 0, then dx[pick] += dy for each pick in order, whatever the number of threads. f32 or bf16
/// sums. Returns as above.
int64_t gather_grad(const GatherShape& s, DType type, const void* dy, const int64_t* picks,
                    void* dx);

}  // namespace espalier::kernels

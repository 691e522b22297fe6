// Numbers stored as 8-bit floats with scales of groups, and read back.
#pragma once

#include <cstdint>

#include "tensor/float8.h"

namespace espalier::kernels {

/// Stores n numbers, f32 or bf16: `codes` [n], `beside` [groups.count(n), groups.beside()]. A
/// number that is not finite makes its run NaN. Results do not depend on the number of threads.
void store_float8(int64_t n, const Float8Groups& groups, DType type, const void* x, uint8_t* codes,
                  bfloat16* beside);
/// Reads them back, as f32 or bf16.
void load_float8(int64_t n, const Float8Groups& groups, const uint8_t* codes,
                 const bfloat16* beside, DType type, void* y);

}  // namespace espalier::kernels

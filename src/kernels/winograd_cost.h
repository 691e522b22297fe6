// When Winograd's algorithm is worth it, in multiply-accumulates of f32; measured on AVX-512 (Zen
// 5) and, where weights come from farther away, no lower with AVX2 (Zen 3).
#pragma once

#include <cstdint>

#include "kernels/jit/micro_kernel.h"
#include "tensor/dtype.h"

namespace espalier::kernels {

/// For each number that a transform moves, and for each number of a weight, which comes from
/// memory.
inline constexpr double kWinogradMoved = 13, kWinogradFetched = 20;

/// Numbers at points that take more bytes do not stay in the last cache.
inline constexpr int64_t kWinogradFar = 16 << 20;

/// Whether what images of this type give at points is multiplied in pairs of bf16.
inline bool winograd_in_pairs(DType type) { return type == DType::bf16 && multiplies_bf16(); }

/// How many times as fast as in f32 the sum over taps is on numbers of this type.
inline double direct_rate(DType type) { return winograd_in_pairs(type) ? 2 : 1; }

/// The tile of the lower cost, or 0 where neither is clearly below that of the sum over taps: a
/// network is rarely alone in the caches, and more memory is used.
inline int64_t winograd_choice(double four, double two, double direct) {
  constexpr double kLeastGain = 0.9;
  const int64_t best = four < two ? 4 : 2;
  return (best == 4 ? four : two) < kLeastGain * direct ? best : 0;
}

}  // namespace espalier::kernels

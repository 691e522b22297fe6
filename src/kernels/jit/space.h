// Which tiles are worth trying for a product on this device: dozens that follow from its registers
// and caches, or all there are. After nn-JIT.web's "lite kernel optimization space" (Jia et al.
// 2023, systems.tsv 203): what the hardware rules out is not measured.
#pragma once

#include <optional>
#include <vector>

#include "kernels/jit/gemm.h"

namespace espalier::kernels {

/// What the space follows from.
struct GemmDevice {
  int64_t l1_bytes = 32 << 10, l2_bytes = 1 << 20;  ///< data, of one core
  int l1_ways = 8;
  /// Multiply-adds that start in a cycle, and cycles until one is done: so many sums must be under
  /// way to keep the units busy.
  int fma_per_cycle = 2, fma_latency = 4;
  int loads_per_cycle = 2;
  int registers_per_vector = 1;  ///< 2 with AVX2

  bool operator==(const GemmDevice&) const = default;
};

/// As the system says; what it does not say is as above.
GemmDevice gemm_device();

/// The tiles to measure, the most promising first: some dozens. Never empty.
std::vector<GemmTile> device_space(const GemmProblem& problem, const GemmDevice& device,
                                   int threads);

/// Every register tile that can be told apart on this problem with every unrolling, prefetch, block
/// of k, order, packing and split: some thousands, in an order that favours none.
std::vector<GemmTile> whole_space(const GemmProblem& problem, const GemmDevice& device,
                                  int threads);

/// What to take for a product that nobody measured; nothing where a library's kernels are as good.
/// oneDNN 2.6.3 has none of its own for f32 products with AVX2: a general one
/// reaches 33 of Zen 3's 51.8 GMAC/s on 128x256x1024, generated code 44.
std::optional<GemmTile> unmeasured_tile(const GemmProblem& problem, int threads);

/// What a library built ahead of time would do: one tile for all products. It is the 12 by 32 that
/// BLIS ships for f32 under AVX-512, or its 6 by 16 of AVX2 (Van Zee and van de Geijn 2015).
GemmTile fixed_tile();

/// Cycles that the device model expects of one core; a relative figure, for ordering.
double modelled_cycles(const GemmProblem& problem, const GemmTile& tile, const GemmDevice& device);

}  // namespace espalier::kernels

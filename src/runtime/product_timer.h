// One matrix product, timed as a network would run it: several weights in turn, so that they come
// from the cache they come from in the network.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "kernels/jit/gemm.h"

namespace espalier {

class ProductTimer {
 public:
  /// Numbers are drawn for the operands. `weights_in_turn`: bytes of constants that run between two
  /// uses of one of them.
  ProductTimer(const kernels::GemmProblem& problem, int threads, double weights_in_turn,
               uint64_t seed);
  ~ProductTimer();

  /// Milliseconds of the fastest of some runs within about `seconds`. The tile must be legal.
  double quick_ms(const kernels::GemmTile& tile, double seconds);
  /// Milliseconds of generated code and of what else serves the product, one after the other, each
  /// the median of its runs within about `seconds`; the second is missing where nothing does.
  struct Round {
    double generated_ms = 0;
    std::optional<double> other_ms;
  };
  Round round(const kernels::GemmTile& tile, double seconds);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace espalier

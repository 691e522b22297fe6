// Operands of generated products in the order their inner loop reads them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/packed_weights.h"

namespace espalier::kernels {

/// A matrix [k, n] where it lies; strides in elements.
struct MatrixView {
  const float* data = nullptr;
  int64_t k = 0, n = 0, k_stride = 0, n_stride = 0;
};

/// b cut into panels of whole vectors, whose widths differ by one vector at most; each panel holds
/// its columns for one k after the other, padded with zeros. b is dense, either way round.
PackedWeight packed_columns(const MatrixView& b, int64_t panels);

/// Weights of 8-bit integers where they lie; strides in elements.
struct PairedWeights {
  /// Of k, which a kernel reads from one place each: equally long.
  struct Run {
    int64_t count = 1, length = 0;
    int64_t pairs() const { return (length + 1) / 2; }
  };
  const int8_t* data = nullptr;
  int64_t outputs = 0, channels = 0, output_stride = 0, channel_stride = 0;
  std::array<int64_t, 2> window{1, 1}, window_strides{0, 0};
  Run run;  ///< windows in rows, channels innermost
};

/// The weights widened to 16 bits, in panels of outputs as `packed_columns` cuts them, each
/// [run][pair][output][2]; zero where there is no output, and behind a run of odd length.
PackedWeight packed_pairs(const PairedWeights& weights, int64_t panels);

/// `rows` rows of a (elements `stride` apart) for `depth` steps of k: rows numbers for each step.
void pack_rows(const float* a, int64_t stride, int64_t rows, int64_t depth, float* packed);

}  // namespace espalier::kernels

// Operands of generated products in the order their inner loop reads them.
#pragma once

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

/// `rows` rows of a (elements `stride` apart) for `depth` steps of k: rows numbers for each step.
void pack_rows(const float* a, int64_t stride, int64_t rows, int64_t depth, float* packed);

}  // namespace espalier::kernels

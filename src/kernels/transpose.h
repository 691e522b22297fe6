// Moving elements without changing them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace espalier::kernels {

/// y[b][c][r] = x[b][r][c] for `batch` matrices of rows x columns elements of `width` bytes
/// (1, 2, 4 or 8). x and y do not overlap.
void transpose_matrices(const void* x, void* y, int64_t batch, int64_t rows, int64_t columns,
                        size_t width);

/// y in row-major order of `shape`, reading x under `strides` (elements of `width` bytes; a stride
/// may be 0 or negative; `x` points at the element of index zero).
void copy_strided(const void* x, void* y, std::span<const int64_t> shape,
                  std::span<const int64_t> strides, size_t width);

}  // namespace espalier::kernels

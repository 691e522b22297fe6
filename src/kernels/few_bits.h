// Products with weights of few bits, unpacked a part of a row at a time: the weights are read from
// memory in the bits they are stored in.
#pragma once

#include <cstdint>

namespace espalier::kernels {

/// Shapes of y [rows, n] = x [rows, k] w^T + bias. A row of w stands in blocks of `block` weights
/// of 2, 4 or 8 bits, the last one padded; w = (number - zero) scale of the block.
struct FewBits {
  int64_t rows = 0, k = 0, n = 0;
  int64_t bits = 4, block = 0;

  int64_t blocks() const { return (k + block - 1) / block; }
  int64_t block_bytes() const { return block * bits / 8; }
  /// Bytes of the packed zero points of a row.
  int64_t zero_bytes() const { return (blocks() * bits + 7) / 8; }
};
struct FewBitsOperands {
  const float* x = nullptr;
  const uint8_t* w = nullptr;          ///< [n, blocks, block_bytes]
  const float* scales = nullptr;       ///< [n, blocks]
  const uint8_t* zeros = nullptr;      ///< [n, zero_bytes], or null
  const float* float_zeros = nullptr;  ///< [n, blocks], or null; without either the middle
  const float* bias = nullptr;         ///< [n], or null
};
/// Results do not depend on the number of threads.
void few_bits_product(const FewBits& s, const FewBitsOperands& in, float* y);

}  // namespace espalier::kernels

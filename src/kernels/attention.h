// Scaled dot-product attention, softmax(scale Q K^T + masks) V for each head (Vaswani et al.,
// arXiv:1706.03762, equation 1), without ever holding the scores of a head: keys are taken block by
// block under a running maximum (Milakov and Gimelshein, arXiv:1805.02867; Dao et al.,
// arXiv:2205.14135). Operands are read, and the result is written, wherever they lie.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/quantise.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace espalier::kernels {

struct AttentionSpec {
  /// Where the elements of one operand lie, in elements from its address.
  struct View {
    int64_t offset = 0;
    std::vector<int64_t> heads;  ///< a stride for each axis of `heads`; 0 where it is shared
    int64_t token = 0, feature = 1;
  };
  /// What is added to the scores; strides of 0 where it is broadcast.
  struct Mask {
    int64_t offset = 0;
    std::vector<int64_t> heads;
    int64_t query = 0, key = 1;
  };

  DType type = DType::f32;  ///< of all operands and the result: f32 or bf16; sums are f32
  Shape heads;              ///< extents of what is independent: batch, heads
  int64_t queries = 0, keys = 0;
  int64_t size = 0, values = 0;  ///< numbers of a query and a key; of a value
  float scale = 1;
  View q, k, v, y;
  std::vector<Mask> masks;
  /// Query i sees keys 0 to i + ahead only (at least 0, less than `keys`); what lies behind is not
  /// even read, so a NaN there goes unnoticed.
  std::optional<int64_t> ahead;
  /// The result is stored so; its numbers of a token then lie side by side, and `type` is f32.
  std::optional<Quantised> quantised;

  /// Multiply-accumulates with every key seen.
  double macs() const;
  /// Queries are too few to share vectors of queries: each is computed by itself, where the numbers
  /// of a key and of a value lie side by side.
  bool few_queries() const;
};

constexpr size_t kMostMasks = 4;

struct AttentionOperands {
  const void *q, *k, *v;
  void* y;
  std::array<const void*, kMostMasks> masks;
};

/// No extent may be 0; at most kMostMasks masks.
void attention(const AttentionSpec& spec, const AttentionOperands& operands);

}  // namespace espalier::kernels

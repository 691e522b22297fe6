// Attention as quantised graphs spell it: operands that are 8-bit integers are dequantised as they
// are read, and what lies between two products is rounded as the graph says. Scores of a tile of
// queries are held for all keys, because weights are rounded once their sum is known.
#pragma once

#include "kernels/attention.h"

namespace espalier::kernels {

struct RoundedAttention {
  /// Of type f32; strides in elements of what the operands are stored as. Masks are f32.
  AttentionSpec form;
  /// Operands stored as integers.
  std::optional<Quantised> q, k, v;
  /// Rounded so: the product of queries and keys, before and after it is scaled; the scores with
  /// their masks; the weights; the result, before `form.quantised`.
  std::optional<Quantised> product, scaled, masked, weights, result;

  bool rounds() const { return q || k || v || product || scaled || masked || weights || result; }
};

/// As `attention`; with `masked`, `form.ahead` is not allowed.
void rounded_attention(const RoundedAttention& spec, const AttentionOperands& operands);

}  // namespace espalier::kernels

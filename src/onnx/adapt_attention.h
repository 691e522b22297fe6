// What the adapters of attention share. Shapes: B batch, S queries, T keys, N heads of H numbers.
#pragma once

#include "onnx/adapt_extents.h"

namespace espalier {

/// What an attention is told besides its operands.
struct AttentionForm {
  int64_t heads = 0;
  float filter = -10000;                      ///< added where a mask says no
  std::optional<float> scale = std::nullopt;  ///< 1 / sqrt(H) unless said
  bool causal = false;
};
/// Takes num_heads, mask_filter_value, scale and unidirectional.
AttentionForm take_attention_form(Call& c);

/// [B,S,N H] as [B,S,N,H].
ValueId in_heads(Call& c, ValueId v, int64_t heads);
/// [B,S,N,H] as [B,N,S,H], and back.
ValueId heads_first(Call& c, ValueId v);
/// scale q k^T for q [B,N,S,H] and k [B,N,T,H].
ValueId attention_scores(Call& c, ValueId q, ValueId k, const AttentionForm& form);
/// softmax(scores) v for v [B,N,T,H], as [B,S,N H].
ValueId attention_result(Call& c, ValueId scores, ValueId v);

/// 0 where `keep`, `filter` elsewhere, in the type of `like`.
ValueId filtered(Builder& b, ValueId keep, double filter, ValueId like);
/// A filter that leaves nothing.
double never(DType type);

/// The first `turned` numbers of the last axis of v (four axes) turned pairwise by angles whose
/// cosines and sines broadcast to [..., turned / 2]: halves apart, or neighbours.
ValueId rotated(Call& c, ValueId v, ValueId cosine, ValueId sine, int64_t turned, bool neighbours);

}  // namespace espalier

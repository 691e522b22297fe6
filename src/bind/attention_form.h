// Reading softmax(scale Q K^T + masks) V out of a graph, however it is spelled: the one place that
// knows, for the pass that makes regions of it and for the binder of its kernel.
#pragma once

#include <functional>
#include <variant>
#include <vector>

#include "bind/attention_nodes.h"
#include "ir/room.h"
#include "kernels/rounded_attention.h"

namespace espalier::bind {

struct AttentionForm {
  kernels::RoundedAttention spec;
  /// Where the operands' memory begins: values from outside, or constants.
  ValueId q = kNoValue, k = kNoValue, v = kNoValue;
  std::vector<ValueId> masks;
  /// After moves, and after its quantisation where it has one (`spec.form.quantised`).
  ValueId result = kNoValue;
};

/// The attention around a Softmax, of nodes that are `inside` only; or what is in its way. Types
/// must be static. Read are: views before and after (strided_view.h); scaling by known numbers of
/// the queries, the keys or the scores; masks added to the scores; a choice between scores and
/// nothing by a known triangle. A known triangle of zeros and minus infinity is read as `ahead`;
/// one of zeros and huge negative numbers only where there is no mask beside it. Last of all the
/// result may be quantised to 8 bits, with one known scale. In quantised graphs, operands may be
/// dequantised inside, and scores, weights and the result be quantised and dequantised on the way.
std::variant<AttentionForm, Refuse> attention_form(const Graph& graph, NodeId softmax,
                                                   const std::function<bool(NodeId)>& inside);

}  // namespace espalier::bind

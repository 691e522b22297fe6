// Reading softmax(scale Q K^T + masks) V out of a graph, however it is spelled: the one place that
// knows, for the pass that makes regions of it and for the binder of its kernel.
#pragma once

#include <functional>
#include <variant>
#include <vector>

#include "ir/room.h"
#include "kernels/attention.h"

namespace espalier::bind {

struct AttentionForm {
  kernels::AttentionSpec spec;
  /// Where the operands' memory begins: values from outside, or constants.
  ValueId q = kNoValue, k = kNoValue, v = kNoValue;
  std::vector<ValueId> masks;
  ValueId result = kNoValue;
};

/// The attention around a Softmax, of nodes that are `inside` only; or what is in its way. Types
/// must be static. Read are: views before and after (strided_view.h); scaling by known numbers of
/// the queries, the keys or the scores; masks added to the scores; a choice between scores and
/// nothing by a known triangle. A known triangle of zeros and minus infinity is read as `ahead`;
/// one of zeros and huge negative numbers only where there is no mask beside it.
std::variant<AttentionForm, Refuse> attention_form(const Graph& graph, NodeId softmax,
                                                   const std::function<bool(NodeId)>& inside);

/// Whether the node is Softmax along the last axis.
bool is_last_softmax(const Graph& graph, NodeId node);
/// The operand that a node multiplies or divides by a known number; kNoValue where it does not.
ValueId scaled_operand(const Graph& graph, NodeId node);
/// The operand through which a node (a mask, a scale, a choice) reads the product of queries and
/// keys; kNoValue where it does not, or is that product.
ValueId scores_operand(const Graph& graph, NodeId node);
bool is_product(const Graph& graph, NodeId node);

}  // namespace espalier::bind

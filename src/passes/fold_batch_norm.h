// Batch normalisations and the contractions before them, for those who choose which to fold.
#pragma once

#include <functional>
#include <optional>

#include "ir/facets.h"
#include "passes/fuse_region.h"

namespace espalier::passes {

/// A contraction whose result one batch normalisation alone reads, and whose weight and bias can
/// take its factors.
struct NormalisedContraction {
  NodeId node = kNoNode;
  QuantForm form;           ///< which operands are weight and bias, and the channels' axis
  ValueId bias = kNoValue;  ///< as many elements as channels; kNoValue where it has none
};
/// Nothing where there is no such contraction before the normalisation `norm`.
std::optional<NormalisedContraction> contraction_before(const Graph& graph, const Readers& readers,
                                                        NodeId norm);

/// Whether `norm` is an inference batch normalisation with such a contraction before it, everything
/// of one type: what fold_trained_batch_norm rewrites.
bool foldable_in_training(const Graph& graph, const Readers& readers, NodeId norm);

using NormChoice = std::function<bool(const Graph&, NodeId)>;

/// fold_batch_norm for those chosen, where a contraction with constant weights stands before them;
/// the others stay. Returns how many were folded.
int fold_batch_norms(Graph& graph, const NormChoice& chosen);
/// fold_trained_batch_norm for those chosen.
int fold_trained_batch_norms(Graph& graph, const NormChoice& chosen);

}  // namespace espalier::passes

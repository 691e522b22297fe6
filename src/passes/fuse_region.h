// Making fused regions, a set of nodes becoming one espalier.Fused node, and taking them apart.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "tensor/scalar_op.h"

namespace espalier::passes {

/// Who reads each value, for passes that ask often: graph outputs and states count as readers.
class Readers {
 public:
  explicit Readers(const Graph& graph);
  /// The one node that reads `v`, if nobody else does; else kNoNode.
  NodeId only(ValueId v) const;
  int count(ValueId v) const { return count_[size_t(v)]; }

 private:
  std::vector<int> count_;
  std::vector<NodeId> one_;
};

/// All operands and results are tensors of known rank.
bool tensors_only(const Graph& graph, NodeId node);

/// The scalar function of a node with one result, where it is pointwise with its operands.
std::optional<ScalarOp> scalar_of(const Graph& graph, NodeId node);

/// Replaces `nodes` (in topological order; only `results` are read outside) by one region.
/// Constants move into the body, so that it is complete in itself; everything else becomes an
/// operand. It goes by `label`, or where that is empty by the first name among the nodes. Returns
/// the new node.
NodeId make_region(Graph& graph, std::span<const NodeId> nodes, std::span<const ValueId> results,
                   std::string label = "");

/// What a node that is a region means; null for other nodes.
GraphRef region_body(const Graph& graph, NodeId node);

/// Puts the nodes of every region back where it stands, under the names they had; a constant that
/// several regions carry becomes one again. Returns how many regions there were.
int expand_regions(Graph& graph);

}  // namespace espalier::passes

// Which layers of a network run on integers, and which values are stored as integers for that.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ir/facets.h"

namespace espalier {

struct QuantizationPlan {
  /// Contractions with constant weights that are quantised, in order.
  std::vector<NodeId> layers;
  /// Float values that are stored as integers, in order of production.
  std::vector<ValueId> activations;
  /// The value whose range gives each activation's scale: its own, or the one it was moved from.
  std::map<ValueId, ValueId> scale_owner;
};

/// `exclude` holds layer names (see layer_name).
QuantizationPlan plan_quantization(const Graph& graph, const std::set<std::string>& exclude);

/// The name of the node's first result: unique, and stable under passes.
std::string layer_name(const Graph& graph, NodeId node);

/// The node's integer form where it has one that fits its operands: f32 activations that are
/// computed or given, and one result.
std::optional<QuantForm> quant_form(const Graph& graph, NodeId node);

}  // namespace espalier

// What predicts how long a node takes, read off the graph before anything is bound: the operators
// of a fused region, its work, its traffic and its shapes.
#pragma once

#include <string>

#include "ir/graph.h"

namespace espalier {

struct RegionFacts {
  std::string kind;       ///< the operator in it that does most of the work: "Conv"
  std::string operators;  ///< all of them, in order, with blanks between: "Conv Add Relu"
  DType x_type = DType::f32, w_type = DType::f32, y_type = DType::f32;
  /// The largest operand that is not known beforehand, the largest constant of two axes or more
  /// (else the second largest operand, else empty), the first result.
  Shape x, w, y;
  double macs = 0, flops = 0;
  double in_bytes = 0, out_bytes = 0, weight_bytes = 0;

  double bytes() const { return in_bytes + out_bytes + weight_bytes; }
  bool operator==(const RegionFacts&) const = default;
};

/// Of a node of a graph whose types are all static: a region, or a single operator. UserError where
/// a room refuses its cost.
RegionFacts region_facts(const Graph& graph, NodeId node);

/// Equal for regions that nothing in their facts tells apart.
std::string signature_of(const RegionFacts& facts);

/// The node is computed before the network runs: it reads constants only, and may be folded.
bool computed_beforehand(const Graph& graph, NodeId node);

}  // namespace espalier

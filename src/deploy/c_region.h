// Fused regions in C: one operator whose operands are dequantised as they are read and whose
// results pass through pointwise functions before they are stored, or pointwise functions alone.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ir/c_writer.h"

namespace espalier {

/// How a region is written; nothing where it must be expanded.
class CRegion {
 public:
  static std::optional<CRegion> of(const Graph& graph, NodeId node);

  /// The operator in the middle; kNoNode where there are pointwise functions alone.
  NodeId core() const { return core_; }
  const Graph& body() const { return body_; }
  /// Which operand of the region operand i of the core is; -1 for constants.
  int outer_operand(size_t i) const;
  /// Operands of the region that are read element by element where the result is written.
  std::vector<size_t> residuals() const;

  /// Writes the region; `pointers` are those of its operands, `result` where its result belongs.
  /// The writer returned has written it.
  CWriter write(CModule& module, const std::vector<std::string>& pointers,
                const std::string& result) const;

 private:
  bool read();
  bool read_node(NodeId id);
  std::string pointer(CModule& module, const std::vector<std::string>& pointers, ValueId v) const;

  Graph body_;
  NodeId core_ = kNoNode;
  NodeId last_ = kNoNode;
  std::vector<NodeId> before_, behind_;  ///< dequantisations of the core's operands; what follows
};

}  // namespace espalier

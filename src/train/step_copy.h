// Steps written anew, node by node in their order, so that what is added to them stands, and is
// planned, where it is wanted.
#pragma once

#include <string>
#include <vector>

#include "train/step.h"

namespace espalier {

/// By number of the node, which are of the forward pass: those that objective, loss and right
/// answers depend on.
std::vector<bool> forward_nodes(const StepGraph& step);
/// Whether a node of the forward pass makes the value.
bool made_forward(const Graph& graph, const std::vector<bool>& forward, ValueId value);
/// Values of the forward pass that other nodes read, in the order in which they are made.
std::vector<ValueId> read_behind(const Graph& graph, const std::vector<bool>& forward);

class StepCopy {
 public:
  /// Begins with inputs and constants.
  explicit StepCopy(const StepGraph& from);

  Graph& graph() { return to_.graph; }
  /// What stands for a value of the step that is copied.
  ValueId mapped(ValueId value) const { return value == kNoValue ? kNoValue : map_[size_t(value)]; }
  std::vector<ValueId> mapped(const std::vector<ValueId>& values) const;
  /// A name that no value has, nor will have once it is copied.
  std::string fresh_name(const std::string& base) const;
  /// Appends the node, reading `inputs`; its results are what stands for those it had.
  void copy(NodeId node, std::vector<ValueId> inputs);
  /// Appends the node once more; returns its results.
  Values copy_again(NodeId node, std::vector<ValueId> inputs);
  /// The step, once all its nodes are there.
  StepGraph finish();

 private:
  NodeId append(NodeId node, std::vector<ValueId> inputs, const char* suffix);

  const StepGraph& from_;
  StepGraph to_;
  std::vector<ValueId> map_;
};

}  // namespace espalier

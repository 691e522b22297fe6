// Axis classes: which slices of which tensors must be kept, cut or permuted together.
//
// Every position along every axis of every value is an element. A node's `axes` facet ties elements
// of its operands to elements of its results; the connected sets are the groups, the smallest
// things that can be cut. What some node does not tie, and what the outside sees (inputs, outputs,
// states), is pinned together with all it is tied to. Groups that touch the same axes alike form a
// class: the channels of a layer, the heads of an attention, the hidden units of an MLP.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ir/facets.h"

namespace espalier {

/// Positions along one axis of one value that belong to a group.
struct AxisSlice {
  ValueId value = kNoValue;  ///< in AxisClasses::graph
  int axis = 0;
  std::vector<int64_t> positions;  ///< ascending
  /// For constants: some reader's result has slices of its own for these positions (a filter, a
  /// bias, a scale), so zeroing them is what silences the group. Otherwise they only weigh what
  /// others produced (the next layer's input channels).
  bool produces = false;
};

/// The smallest set of slices that can be cut by itself.
struct AxisGroup {
  std::vector<AxisSlice> slices;  ///< by value, then axis
};

/// Groups that touch the same axes with the same number of positions: interchangeable.
struct AxisClass {
  std::string name;  ///< "conv1.weight[0]": the first constant that produces it, and which axis
  std::vector<AxisGroup> groups;
  double params = 0;  ///< elements of parameters one group carries
  double macs = 0;    ///< multiply-accumulates one group carries, the other axes at full width
  /// Zeroing the producing constants of a group zeroes its slices everywhere.
  bool zero_passes = true;
  std::string zero_breaker;  ///< the first node where zero does not pass
  /// Some node reads the whole axis at once (a normalisation): cutting changes what the rest sees.
  bool reads_whole = false;
  std::string whole_reader;
  /// Every node that contracts over the axis weighs it with a constant, so that zeroing those
  /// constants silences the group too.
  bool weighed = true;

  /// Zeroing constants at full width computes what cutting the group computes.
  bool silenceable() const { return !reads_whole && (zero_passes || weighed); }
  /// The slices to zero for that.
  bool silences(const AxisSlice& slice) const { return slice.produces || !zero_passes; }
  /// Why it is not silenceable; empty otherwise.
  std::string obstacle() const;
};

/// An axis of a constant that cannot be cut, and why.
struct PinnedAxis {
  ValueId value = kNoValue;
  int axis = 0;
  std::string reason;
};

/// A tie of a node as the classes use it: which group owns each index.
struct NodeTie {
  NodeId node = kNoNode;
  AxisTie tie;
  std::vector<int32_t> group;  ///< flat group of each index, -1 where pinned
  /// The classes it touches, and how many indices each of their groups owns.
  std::vector<std::pair<size_t, int64_t>> members;
};

struct AxisClasses {
  /// The static graph all ids refer to: the given one specialised, without holes, operators that
  /// derive their axes expanded. Values keep the names of the given graph.
  Graph graph;
  std::vector<AxisClass> classes;
  std::vector<PinnedAxis> pinned;  ///< by value, then axis; extents above 1 only
  std::vector<NodeTie> ties;       ///< in order of nodes; those of cuttable groups only
  std::vector<double> node_macs;   ///< by NodeId

  /// Flat numbering of groups: class by class.
  int32_t flat(size_t cls, size_t group) const;
  size_t group_count() const;
};

/// Derives the classes of `graph`, its inputs having `shapes` (in order; none: symbolic extents are
/// taken as 1, and costs are those of a batch of 1). Throws UserError where the graph cannot be
/// made static.
AxisClasses axis_classes(const Graph& graph, std::span<const Shape> shapes = {});

/// Which groups stay, class by class.
struct Keep {
  std::vector<std::vector<bool>> groups;

  static Keep all(const AxisClasses& classes);
  bool operator()(size_t cls, size_t group) const { return groups[cls][group]; }
  size_t kept(size_t cls) const;
  /// Indexed by flat group.
  std::vector<bool> flat() const;
};

/// Multiply-accumulates and parameters of the network cut to `keep`, exactly, without cutting it:
/// contractions are linear in each tied extent.
struct CutCost {
  double macs = 0;
  double params = 0;
};
CutCost cost_of_cut(const AxisClasses& classes, const Keep& keep);
/// The same, given how many groups each class keeps.
double macs_of_cut(const AxisClasses& classes, std::span<const size_t> kept);
double params_of_cut(const AxisClasses& classes, std::span<const size_t> kept);

}  // namespace espalier

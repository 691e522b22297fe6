// A tensor that lies inside another one's memory: what reshapes, transpositions, splits and
// broadcasts give when nothing is copied. For kernels that read and write wherever elements lie.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "ir/graph.h"

namespace espalier::bind {

struct StridedView {
  /// A run of elements that are `stride` apart; 0 where one element stands for all.
  struct Factor {
    int64_t extent, stride;
    bool operator==(const Factor&) const = default;
  };
  int64_t offset = 0;
  /// Of each axis, outermost first, without extents of 1; an axis that reshapes merged or that was
  /// broadcast in part has several.
  std::vector<std::vector<Factor>> axes;

  /// A row-major tensor without empty axes.
  static StridedView of(const Shape& shape);
  int64_t extent(size_t axis) const;
  /// The stride of an axis with at most one factor: 0 where its extent is 1.
  std::optional<int64_t> stride(size_t axis) const;
};

/// Result `result` of a node as a view of its operand 0, given how that lies; nothing where the
/// node does more than move, or moves so that no strides tell.
std::optional<StridedView> viewed(const Graph& graph, NodeId node, size_t result,
                                  const StridedView& operand);
/// Operand 0 of a node that moves all elements (Reshape, Transpose …), given where its result
/// shall lie.
std::optional<StridedView> viewed_back(const Graph& graph, NodeId node, const StridedView& result);

/// Whether the node is of a kind that `viewed` knows, that `viewed_back` knows.
bool is_view(const Graph& graph, NodeId node);
bool moves_all(const Graph& graph, NodeId node);
/// Whether the node exchanges the last two axes of its operand and does nothing else.
bool swaps_last_axes(const Graph& graph, NodeId node);

/// Axes that several views share, cut where any of them is cut: views[i][axis] becomes strides[i]
/// of `extents`. Nothing where their cuts do not fit into each other.
struct CommonAxes {
  Shape extents;
  std::vector<std::vector<int64_t>> strides;
};
std::optional<CommonAxes> common_axes(
    std::span<const std::vector<std::vector<StridedView::Factor>>> views);

}  // namespace espalier::bind

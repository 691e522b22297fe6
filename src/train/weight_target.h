// Weights that adapters can stand beside: those of matrix products and convolutions, found by what
// the rooms say of their axes.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"

namespace espalier {

/// A parameter that one node contracts with an activation. Along `out_axis` it has one slice for
/// each index of the result's `y_axis`; along `in_axis` it is summed with the activation's
/// `x_axis`; further axes are a window's.
struct WeightTarget {
  std::string parameter;
  NodeId node = kNoNode;
  size_t x_slot = 0, w_slot = 1;
  ValueId read = kNoValue;  ///< what the node reads: the parameter, or its elements moved
  Shape shape;              ///< of `read`
  int out_axis = 0, in_axis = 1, x_axis = 0, y_axis = 0;
  std::vector<int> window;  ///< the other axes of `read`, ascending
  /// The element of the parameter that each element of `read` is; empty where they are the same.
  std::vector<int64_t> element;

  int64_t outputs() const { return shape[size_t(out_axis)]; }
  int64_t inputs() const { return shape[size_t(in_axis)]; }
  int64_t window_size() const { return numel(shape) / (outputs() * inputs()); }
  /// The tensor with `extent` slices in place of the weight's, along one axis.
  Shape with(int axis, int64_t extent) const;
};

/// The network with its input of that shape and all types that follow: what facets are asked of.
/// Nodes and values keep their numbers; those that computed shapes may be gone.
Graph typed_for(const Graph& network, const Shape& input);

/// All such weights, in the order in which they are read. A parameter that is read twice is none,
/// nor is one of a grouped convolution or one that stands on the left of a product.
std::vector<WeightTarget> weight_targets(const Graph& typed);

/// `delta` of shape `shape` (as the node reads it) in the parameter's own order and shape.
Tensor in_parameter_order(const WeightTarget& target, const Tensor& delta, const Shape& parameter);

}  // namespace espalier

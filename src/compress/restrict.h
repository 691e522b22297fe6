// The cuts on axis classes: restrict (keep some groups), masked (the same function at full width),
// permute (reorder groups without changing the function).
#pragma once

#include <string>
#include <vector>

#include "compress/axis_classes.h"

namespace espalier {

/// `graph` without the groups that `keep` drops: constants cut, attributes and shape operands fixed
/// by the rooms, types inferred again. `classes` were derived from this graph; symbolic extents
/// stay symbolic. A class must keep at least one group. Throws UserError naming the node when what
/// is left does not fit together.
Graph restrict(const Graph& graph, const AxisClasses& classes, const Keep& keep);

/// One constant of the network (or something shaped like it: a gradient, a moment) as restrict
/// cuts it; returned as it is where no cut touches that name.
Tensor restricted_tensor(const AxisClasses& classes, const Keep& keep, const std::string& name,
                         const Tensor& tensor);

/// `classes.graph` at full width computing exactly what restrict's result computes: the dropped
/// groups' constants are zero; where zero does not pass a node its result is masked; nodes that
/// read a whole cut axis see the kept positions only.
Graph masked(const AxisClasses& classes, const Keep& keep);

/// `graph` with class `cls` reordered: its new group i is its old group order[i]. The network
/// computes the same function.
Graph permute(const Graph& graph, const AxisClasses& classes, size_t cls,
              const std::vector<int64_t>& order);

/// Elements of `tensor` at `positions` along `axis`.
Tensor take(const Tensor& tensor, int64_t axis, const std::vector<int64_t>& positions);
/// Sets the elements at `positions` along `axis` to zero, in place (float and integer types).
void zero_slices(Tensor& tensor, int64_t axis, const std::vector<int64_t>& positions);

}  // namespace espalier

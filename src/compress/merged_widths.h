// Groups of an axis class that become one, so that the network with each such group written out
// several times computes the same: where values are made they are alike, so what adds them up must
// count each less. This is coalescing in width (Zou et al. 2024, arXiv:2404.07999) on
// axis classes.
//
// A constant is on one of two sides of a class. It gives values along it (filters, biases, scales,
// tables of vectors): then its slices are copied, and their mean takes their place. Or it only
// weighs values that are added up: then a slice's weight is shared out, and their sum takes their
// place. Where sums are taken and no constant can do so (scores of attention within a head, a table
// that is read both ways), the small network's result is multiplied instead.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "compress/axis_classes.h"

namespace espalier {

/// What becomes of the positions along one axis of a constant.
struct MergedAxis {
  int axis = 0;
  std::vector<int64_t> to;     ///< of each position, its place in the small tensor
  std::vector<int64_t> count;  ///< of each place, how many positions become it
  std::vector<bool> shared;    ///< of each place, whether its weight is shared out
};

/// From the large tensor to the small one. `degree` 0 is for values; 1 for what is like a gradient
/// with respect to them, 2 for what is like its square, and so on: gradients of copies are equal
/// parts of that of the small tensor. Float tensors; the result is f32.
Tensor merged(const Tensor& large, const MergedAxis& axis, int degree);
/// And back: merged(spread(x)) is x.
Tensor spread(const Tensor& small, const MergedAxis& axis, int degree);

struct MergedWidths {
  Keep keep;  ///< the first of each set of groups
  /// Of float constants by name, what becomes of their axes.
  std::map<std::string, std::vector<MergedAxis>> constants;
  /// Results, by name, that the small network must multiply.
  std::map<std::string, double> factors;
};

/// Every `by` neighbouring groups of the classes that `merge` names (their numbers of groups are
/// multiples of it) become one. UserError where a sum runs over merged groups and others that are
/// not, neither weighed by a constant.
MergedWidths merged_widths(const AxisClasses& classes, const std::vector<bool>& merge, int64_t by);

}  // namespace espalier

// Equations of Einsum ("bij,bjk->bik"): which label each axis of each operand and of the result
// has.
#pragma once

#include <string>
#include <vector>

#include "ops/common.h"

namespace espalier::ops {

/// Labels of axes: letters stand for themselves; the axes of an ellipsis are counted from the
/// right, so that they broadcast.
using Labels = std::vector<int>;

struct Equation {
  std::vector<Labels> operands;
  Labels result;
  /// The extent of a label: what its axes broadcast to.
  std::vector<std::pair<int, Dim>> extents;

  const Dim& extent(int label) const;
};

/// The equation for operands of those types, its implicit result spelled out. UserError for
/// whatever does not fit together.
Equation parse_equation(const std::string& text, const TypesIn& in);

/// Whether a label is among those.
inline bool contains(const Labels& labels, int label) {
  return std::find(labels.begin(), labels.end(), label) != labels.end();
}

}  // namespace espalier::ops

// How much a group matters: the scores by which groups are ranked for cutting.
//
// Scores are normalised to sum to one over all groups that may be cut, so that criteria of
// different units can be averaged (HESSO, Chen et al. 2024, section 3.2).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "compress/axis_classes.h"

namespace espalier {

/// One score per group, class by class, as Keep has flags. Groups that must stay score infinity.
using Saliency = std::vector<std::vector<double>>;

/// The value of a constant by its name; null where there is none (it does not count then).
using TensorOf = std::function<const Tensor*(const std::string& name)>;
/// The constants of the graph the classes were derived from.
TensorOf constants_of(const AxisClasses& classes);

/// The Euclidean norm of a group's producing parameters, over the square root of how many there
/// are.
Saliency magnitude(const AxisClasses& classes, const TensorOf& parameters);
/// |sum of parameter * gradient| over a group's producing parameters: the first-order change of the
/// loss when the group is removed (Molchanov et al. 2017).
Saliency taylor(const AxisClasses& classes, const TensorOf& parameters, const TensorOf& gradients);

/// Each score divided by the sum over all finite ones; all equal where that sum is zero.
void normalise(Saliency& saliency);
/// The mean of normalised scores.
Saliency mixed(std::vector<Saliency> criteria);

}  // namespace espalier

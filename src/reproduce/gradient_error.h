// Whether two steps give parameters the same gradients.
#pragma once

#include <map>
#include <string>

#include "data/dataset.h"
#include "train/step.h"

namespace espalier {

/// Makes the gradients of all parameters outputs of a step.
StepExtension gradients_told();
/// The gradients of a step built with that, on one batch, by the parameter's name. The step is
/// taken at rate 0.
std::map<std::string, Tensor> gradients_of(const StepGraph& step, const Batch& batch);

/// The largest distance of two parameters' gradients, as a part of their norm; not finite where a
/// gradient is not.
double largest_difference(const std::map<std::string, Tensor>& a,
                          const std::map<std::string, Tensor>& b);

}  // namespace espalier

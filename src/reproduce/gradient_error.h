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

/// The largest distance of two parameters' gradients, as a part of their norm in `a`; not finite
/// where a gradient is not. Norms count as no less than `least` times what they would be if all
/// elements of all gradients were of the same size: the gradient of a bias that a normalisation
/// behind it takes away is nothing but rounding.
double largest_difference(const std::map<std::string, Tensor>& a,
                          const std::map<std::string, Tensor>& b, double least = 0);
/// The distance of all gradients together, as a part of their norm in `a`.
double whole_difference(const std::map<std::string, Tensor>& a,
                        const std::map<std::string, Tensor>& b);

}  // namespace espalier

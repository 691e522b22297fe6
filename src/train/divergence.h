// Where numbers first stop being finite.
#pragma once

#include <map>
#include <string>

#include "base/error.h"
#include "data/loader.h"
#include "train/step.h"

namespace espalier {

/// What ends a training whose numbers stopped being finite.
UserError divergence(std::string what, std::string hint);
/// Whether the error is that, and not of what the training was given.
bool is_divergence(const UserError& error);

/// Whether every element is finite; true for other types than f32.
bool all_finite(const Tensor& t);

/// Runs one step from `states` and names what is the first not to be finite: a state before it, a
/// value of the forward pass, the gradient of a parameter, or an update; empty where all of them
/// are. All values are kept at once, so this takes more memory than a step does.
std::string first_not_finite(const StepGraph& step, const std::map<std::string, Tensor>& states,
                             const Batch& batch, double learning_rate, int64_t number);

}  // namespace espalier

// How much a network must be cut for a budget that does not say it in multiply-accumulates.
#pragma once

#include "data/dataset.h"
#include "recipe/fit.h"

namespace espalier {

/// The share of multiply-accumulates that the plan's cut keeps: what the plan says, or less where
/// its budget limits latency, size or memory and that share would not meet it. Each share tried is
/// cut by magnitude, lowered to the plan's precisions and measured here with an input of that
/// shape; `calibration` gives int8 a few samples. Weights do not matter, so this is known before
/// any training. Throws UserError (infeasible) where the smallest cut is still over the budget.
double share_for_budget(const FitPlan& plan, const Shape& input, const Dataset& calibration);

}  // namespace espalier

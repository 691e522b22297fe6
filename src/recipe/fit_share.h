// How much a network must be cut for a budget that does not say it in multiply-accumulates.
#pragma once

#include "compress/budget.h"
#include "data/dataset.h"
#include "recipe/fit.h"

namespace espalier {

/// What the plan's cut keeps: the multiply-accumulates the plan says, and less of them where its
/// budget limits latency or memory and that share would not meet it, or fewer parameters where it
/// limits size. Each cut tried is made by magnitude, lowered to the plan's precisions and measured
/// here with an input of that shape; `calibration` gives int8 a few samples. Weights do not matter,
/// so this is known before any training. Throws UserError (infeasible) where the smallest cut is
/// still over the budget.
CutBudget cut_for_budget(const FitPlan& plan, const Shape& input, const Dataset& calibration);

}  // namespace espalier

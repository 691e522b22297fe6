// What a training step minimises.
#pragma once

#include "train/step.h"

namespace espalier {

/// Attaches the loss to the step's logits: its targets become an input, the loss and, with classes,
/// the number of right answers outputs; what is minimised is set. UserError where the logits do not
/// fit the loss.
void attach_loss(StepGraph& step, const StepOptions& options);

}  // namespace espalier

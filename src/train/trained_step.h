// The step that a trainer runs: built for the data, and changed as its options ask.
#pragma once

#include <span>

#include "train/trainer.h"

namespace espalier {

struct TrainedStep {
  StepGraph step;
  int64_t saved_bytes = 0;  ///< of activations, from the forward to the backward pass
};

/// The step of `options` on `data`, with what `hooks` add to it; kept within the limit of memory,
/// with reversible blocks or stored activations where options say so, else without keeping what
/// costs next to nothing to compute again. UserError where the data have other targets than the
/// loss takes or more classes than the network answers with, or where the rule has nothing to save.
TrainedStep trained_step(const Graph& network, const TrainOptions& options, const Dataset& data,
                         std::span<TrainHook* const> hooks);

}  // namespace espalier

// Optimisers that keep Adam's state for a part of the weights only, and take the rest of each
// gradient without state or not at all.
#pragma once

#include "train/optimizers/matrices.h"

namespace espalier {

/// Which part has state. Only weights that nothing but products reads are split; embeddings,
/// positions, scales and biases take AdamW's whole step.
enum class Part : uint8_t {
  kBlocks,  ///< a run of all weights, laid end to end in the network's order
  kRows,    ///< rows of each matrix, drawn anew each period
  kRandom,  ///< each matrix' gradient in random directions of its shorter side
  kLeading  ///< the same in the gradient's leading singular directions
};
/// What becomes of the rest of a gradient.
enum class Rest : uint8_t { kSign, kGradient, kNothing };

struct StepSplit {
  Part part = Part::kBlocks;
  Rest rest = Rest::kSign;
  double density = 0.25;  ///< state, as a part of Adam's for the same weights; never more
  int64_t every = 200;    ///< steps of a period, after which the part is chosen anew
  bool forgets = true;    ///< moments are zero at the first step of a period
  double part_rate = 1;   ///< times the rate: for the part's update
  double rest_rate = 1;   ///< and the rest's
};

/// The steps of all parameters under a split; settings beta1, beta2 and epsilon are read.
Values split_steps(std::span<ParameterStep> parameters, const StepSplit& split);

/// "density" and "every".
Setting density_setting(double least);
Setting period_setting(double fallback);

}  // namespace espalier

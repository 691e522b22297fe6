// What the backward pass reads of the forward pass, kept in 8-bit floats between them: scales of
// whole tensors for what layers multiply by weights, of groups for everything else
// (mixed-granularity quantisation; Xi et al. 2025, arXiv:2410.19313, "COAT").
#pragma once

#include "tensor/float8.h"
#include "train/step.h"

namespace espalier {

/// Bytes of what the backward pass reads of the forward pass, each number counted once, whatever
/// shapes it is read in.
int64_t saved_bytes(const StepGraph& step);

struct StoredActivations {
  StepGraph step;
  int64_t before = 0;  ///< saved_bytes of the step as it was
  int64_t after = 0;   ///< the same with codes and scales in the place of what is stored
  int64_t values = 0;  ///< how many are stored
};
/// The step whose forward pass computes as before and leaves codes; the backward pass reads what
/// they stand for, dequantised shortly before. `groups.length` is that of the groups.
///
/// Stored are floats that take fewer bytes then, but for what nodes that compute leave behind
/// beside their first result, which are statistics (means, deviations). The logits, and what comes
/// behind them, stay as they are.
StoredActivations storing_activations(const StepGraph& step, const Float8Groups& groups);

}  // namespace espalier

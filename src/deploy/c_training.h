// Training as dependency-free C99: a step (forward, backward through what is trained alone, update)
// and inference with what it has learnt, in one file whose arena holds the trained parameters, the
// optimiser's states and all activations (Lin et al. 2022, arXiv:2206.15472, section 2.3: the
// backward graph is derived, pruned, reordered and planned before anything runs).
#pragma once

#include "deploy/c_file.h"
#include "train/step.h"

namespace espalier {

/// What a file that trains has: CFile's functions that begin and give the arena, and these.
struct CTraining {
  /// int step(const input, const targets, const rate, loss): one step on a batch.
  /// 0, or 1 where a label is no class: parameters and moments then stay as they are.
  CNetwork step;
  /// int run(const inputs.., results..): the network with what was learnt, for a batch of `batch`.
  CNetwork run;
  int64_t trained = 0;          ///< parameters that are trained, elements
  int64_t optimizer_bytes = 0;  ///< of the states beside them
};

/// Adds both to a file that is still empty: the step, and the network that it is a step of.
/// Constants that are not trained are constant arrays. UserError naming the node that has no C
/// form.
CTraining add_training(CFile& file, const Graph& network, StepGraph step, int64_t batch = 1);

}  // namespace espalier

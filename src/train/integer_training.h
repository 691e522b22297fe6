// Training steps of networks that are stored in 8-bit integers (Lin et al. 2022, arXiv:2206.15472,
// "On-device training under 256KB memory", section 2.1): the forward pass on integers, gradients of
// what is trained in f32, weights moved where they are stored.
//
// Quantisation-aware scaling: a weight w = s q is stored as q. The gradient by q is s times that by
// w, while q is w / s: a step that suits w is too short for q by s^2, and the gradient is
// multiplied by s^-2.
#pragma once

#include "train/step.h"

namespace espalier {

/// Whether some parameter of the network is stored in 8-bit integers.
bool stores_integers(const Graph& network);

struct IntegerTraining {
  /// The network, the biases that are trained in f32: there are few, and they took 32 bits before.
  Graph network;
  /// Trained 8-bit weights are states "w" and "w:rest" (espalier.IntegerStep).
  StepGraph step;
};

/// The step of a network as quantize (compress/quantize.h) makes it. Gradients pass straight
/// through the rounding of activations, but for elements at either end of what their integers hold.
/// `scaling` as above; without it, gradients are those of what is stored, biases being stored in
/// units of the sums they are added to. UserError for any optimiser but SGD without momentum, for
/// weight decay and clipping.
IntegerTraining build_integer_step(const Graph& quantised, const StepOptions& options,
                                   bool scaling = true);

}  // namespace espalier

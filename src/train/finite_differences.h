// Gradients from differences of losses: along coordinates, or along random directions.
#pragma once

#include <memory>

#include "train/estimator.h"
#include "train/perturbed_forward.h"
#include "train/rule.h"

namespace espalier {

/// Makes the gradients of the step's parameters inputs that `estimator` gives. UserError where the
/// step is in bf16, which rounds small differences away.
void feed_gradients(RuleStep& step, std::shared_ptr<GradientEstimator> estimator);

/// Random directions at a point: direction `i` of step `number`, the same whenever it is asked for.
struct Directions {
  uint64_t seed = 0;
  bool normal = false;  ///< normal elements, else signs

  /// adds `by` times direction i to the tensors.
  void add(int64_t number, int64_t i, double by, std::vector<Tensor>& to) const;
};

/// The gradient as the mean over `count` directions of the loss' slope along each, times it (Spall
/// 1992; Duchi et al. 2015). `moved_by`, where given, says from which point: it is added to the
/// parameters first, and `loss` is the loss there.
std::vector<Tensor> slope_along(PerturbedForward& forward, const Directions& directions,
                                int64_t number, int64_t count, double radius, bool two_sided,
                                double loss, const std::vector<Tensor>* moved_by = nullptr);

}  // namespace espalier

// Gradients that are computed beside a training step, from what its network answers, and fed to it.
#pragma once

#include <cstdint>
#include <vector>

#include "data/loader.h"
#include "tensor/tensor.h"

namespace espalier {

class StepSession;

class GradientEstimator {
 public:
  virtual ~GradientEstimator() = default;
  /// Compiles what it runs, for num_threads(); later calls do nothing.
  virtual void prepare() = 0;
  /// One gradient for each of the step's parameters, in their order, at the states of `at`. May set
  /// states that its rule added. `number` counts steps from 1.
  virtual std::vector<Tensor> gradients(StepSession& at, const Batch& batch, int64_t number) = 0;
  /// Losses of whole batches that it has asked for so far.
  virtual int64_t queries() const = 0;
  /// Bytes that its programs hold besides the step's own, as planned.
  virtual int64_t bytes() const = 0;
};

}  // namespace espalier

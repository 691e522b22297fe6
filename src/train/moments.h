// What optimisers keep of gradients, element by element: such states can move to a network whose
// parameters were made of others.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "train/trainer.h"

namespace espalier {

/// Of each state "PARAMETER:suffix" of an optimiser, by suffix, the power of the gradient that it
/// follows: 1 for a mean of gradients, 2 for one of their squares. Found by taking a step with a
/// gradient and with twice that. Nothing for optimisers whose states are not of this kind (factors,
/// bases, blocks).
std::optional<std::map<std::string, int>> moment_degrees(const Optimizer& optimizer);

/// Lets training begin with states that came about elsewhere (parameters, statistics, moments).
class CarriedStates : public TrainHook {
 public:
  /// Before train(): states by name, and the steps that the moments among them have seen, from
  /// which the optimiser counts on. A resumed run has states of its own and needs the steps alone.
  void give(std::map<std::string, Tensor> states, int64_t steps);

  void on_gradients(StepGraph& step) override;
  void on_updates(StepGraph& step) override;
  void on_start(Trainer& trainer) override;

 private:
  std::map<std::string, Tensor> states_;
  int64_t steps_ = 0;
  ValueId number_ = kNoValue;  ///< of this run's steps, while the optimiser is written
};

}  // namespace espalier

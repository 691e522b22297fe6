// The condition of a hypernetwork that is some numbers in [0, 1]: how it changes while one is
// trained, and what it can mean.
#pragma once

#include "train/trainer.h"

namespace espalier {

/// The graph's constant that holds it: a buffer, f32 [1, n].
inline constexpr const char* kCondition = "condition";

/// The middle of the range of a condition of so many numbers.
Tensor middle_condition(int64_t numbers);

/// Another condition at each step, each number uniform in [0, 1]; a function of seed and step. At
/// the end of an epoch, when networks are validated, the middle of the range.
class ConditionDraws : public TrainHook {
 public:
  ConditionDraws(int64_t numbers, uint64_t seed) : numbers_(numbers), seed_(seed) {}
  void before_step(Trainer& trainer, const StepReport& coming) override;
  void after_step(Trainer& trainer, const StepReport& done) override;

 private:
  int64_t numbers_;
  uint64_t seed_;
};

/// The network with its pictures [N, C, S, S] turned within the graph, about their middle, by
/// `from` + c (`to` - `from`) degrees counter-clockwise, c being the first number of its value
/// "condition", f32 [1, n]. Between pixels bilinearly; what lies outside is as the nearest edge.
/// UserError for inputs that are no square pictures.
Graph with_turned_input(const Graph& network, double from, double to);

}  // namespace espalier

// BAdam (Luo et al. 2024, "BAdam: A Memory Efficient Full Parameter Optimization Method for Large
// Language Models", arXiv:2404.02827, algorithm 1): AdamW on one block of the weights at a time,
// all others resting; blocks in an order drawn anew for each round, moments from zero.
#include "train/optimizers/split.h"

namespace espalier {
namespace {

Values together(std::span<ParameterStep> parameters) {
  if (parameters.empty()) return {};
  StepSplit split;
  split.part = Part::kBlocks;
  split.rest = Rest::kNothing;
  split.density = parameters[0].precise("density");
  split.every = parameters[0].whole("every");
  return split_steps(parameters, split);
}

}  // namespace

const OptimizerUnit& badam_optimizer() {
  static const OptimizerUnit unit = [] {
    OptimizerUnit u = {"badam", "Luo et al. 2024, arXiv:2404.02827", adam_settings(0.9, 0.999),
                       nullptr, together};
    u.settings.push_back(density_setting(1e-3));
    u.settings.push_back(period_setting(100));
    return u;
  }();
  return unit;
}

}  // namespace espalier

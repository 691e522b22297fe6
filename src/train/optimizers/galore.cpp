// GaLore (Zhao et al. 2024, "GaLore: Memory-Efficient LLM Training by Gradient Low-Rank
// Projection", arXiv:2403.03507, algorithm 2): Adam on the gradient's leading singular directions,
// found anew now and then; moments stay when the directions change. The rank is the largest whose
// directions and moments are at most `density` of Adam's state.
#include "train/optimizers/split.h"

namespace espalier {
namespace {

Values together(std::span<ParameterStep> parameters) {
  if (parameters.empty()) return {};
  const ParameterStep& any = parameters[0];
  StepSplit split;
  split.part = Part::kLeading;
  split.rest = Rest::kNothing;
  split.density = any.precise("density");
  split.every = any.whole("every");
  split.forgets = false;
  split.part_rate = any.precise("scale");
  return split_steps(parameters, split);
}

}  // namespace

const OptimizerUnit& galore_optimizer() {
  static const OptimizerUnit unit = [] {
    OptimizerUnit u = {"galore", "Zhao et al. 2024, arXiv:2403.03507", adam_settings(0.9, 0.999),
                       nullptr, together};
    u.settings.push_back(density_setting(1e-6));
    u.settings.push_back(period_setting(200));
    u.settings.push_back({"scale", 0.25, 1e-6, 1e6, "of what is projected back, times the rate"});
    return u;
  }();
  return unit;
}

}  // namespace espalier

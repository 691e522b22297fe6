// FRUGAL (Zmushko et al. 2024, "FRUGAL: Memory-Efficient Optimization by Reducing State Overhead
// for Scalable Training", arXiv:2411.07837, algorithm 1): a part of each gradient takes Adam's step
// with state, the rest a step without; the part is chosen anew now and then, its state begins from
// zero. Density 0 leaves signSGD for the weights and AdamW for everything else.
#include "train/optimizers/split.h"

namespace espalier {
namespace {

Values together(std::span<ParameterStep> parameters) {
  if (parameters.empty()) return {};
  const ParameterStep& any = parameters[0];
  StepSplit split;
  split.part = Part(any.whole("part"));
  split.rest = any.whole("rest") == 0 ? Rest::kSign : Rest::kGradient;
  split.density = any.precise("density");
  split.every = any.whole("every");
  split.rest_rate = any.precise("rest_rate");
  return split_steps(parameters, split);
}

}  // namespace

const OptimizerUnit& frugal_optimizer() {
  static const OptimizerUnit unit = [] {
    OptimizerUnit u = {"frugal", "Zmushko et al. 2024, arXiv:2411.07837", adam_settings(0.9, 0.999),
                       nullptr, together};
    u.settings.push_back(density_setting(0));
    u.settings.push_back(period_setting(200));
    u.settings.push_back({.name = "part",
                          .fallback = 0,
                          .least = 0,
                          .most = 3,
                          .what = "which part has state",
                          .words = {"blocks", "rows", "random", "svd"}});
    u.settings.push_back({.name = "rest",
                          .fallback = 0,
                          .least = 0,
                          .most = 1,
                          .what = "the step of the rest",
                          .words = {"sign", "gradient"}});
    u.settings.push_back({"rest_rate", 1, 0, 1e6, "of the rest, times the rate"});
    return u;
  }();
  return unit;
}

}  // namespace espalier

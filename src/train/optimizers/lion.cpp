// Lion: the sign of interpolated momentum, with decoupled weight decay (Chen et al. 2023, "Symbolic
// discovery of optimization algorithms", arXiv:2302.06675). State: one momentum per element, half
// of Adam's. Its rate is usually a third to a tenth of Adam's, its decay as much larger.
#include "train/optimizer.h"

namespace espalier {
namespace {

ValueId step(ParameterStep& p) {
  Builder b = p.builder();
  const ValueId momentum = p.moment("momentum", p.shape());
  const Values next = b.op(
      "espalier.LionStep", {p.parameter(), p.gradient(), momentum, p.rate()},
      {{"beta1", p.setting("beta1")}, {"beta2", p.setting("beta2")}, {"weight_decay", p.decay()}});
  p.next(momentum, next.at(1));
  return next.at(0);
}

}  // namespace

const OptimizerUnit& lion_optimizer() {
  static const OptimizerUnit unit = {
      "lion",
      "Chen et al. 2023, arXiv:2302.06675",
      {{"beta1", 0.9, 0, 0.9999999, "of the interpolation whose sign is the step"},
       {"beta2", 0.99, 0, 0.9999999, "of the momentum"}},
      step,
      nullptr,
      OptimizerUnit::Response::kEntrywise};
  return unit;
}

}  // namespace espalier

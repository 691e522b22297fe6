// AdamW: Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101). State: two
// moments per element.
#include "train/optimizer.h"

namespace espalier {
namespace {

ValueId step(ParameterStep& p) {
  Builder b = p.builder();
  const ValueId first = p.state("first", p.shape()), second = p.state("second", p.shape());
  const Values next =
      b.op("espalier.AdamWStep", {p.parameter(), p.gradient(), first, second, p.rate(), p.number()},
           {{"beta1", p.setting("beta1")},
            {"beta2", p.setting("beta2")},
            {"epsilon", p.setting("epsilon")},
            {"weight_decay", p.decay()}});
  p.next(first, next.at(1));
  p.next(second, next.at(2));
  return next.at(0);
}

}  // namespace

const OptimizerUnit& adamw_optimizer() {
  static const OptimizerUnit unit = {
      "adamw",
      "Loshchilov & Hutter 2019, arXiv:1711.05101",
      {{"beta1", 0.9, 0, 0.9999999, "of the first moment"},
       {"beta2", 0.999, 0, 0.9999999, "of the second moment"},
       {"epsilon", 1e-8, 1e-30, 1, "added to the root of the second moment"}},
      step};
  return unit;
}

}  // namespace espalier

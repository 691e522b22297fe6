// Stochastic gradient descent with momentum, Nesterov's by default (Sutskever et al. 2013, "On the
// importance of initialization and momentum in deep learning"). State: one velocity per element;
// without momentum none.
#include "train/optimizer.h"

namespace espalier {
namespace {

ValueId step(ParameterStep& p) {
  Builder b = p.builder();
  if (p.precise("momentum") == 0) {
    ValueId g = b.cast(p.gradient(), DType::f32);
    if (p.decay() != 0) g = b.add(g, b.mul(p.parameter(), double(p.decay())));
    return b.sub(p.parameter(), b.mul(g, p.rate()));
  }
  const ValueId velocity = p.moment("velocity", p.shape());
  const Values next = b.op("espalier.SgdStep", {p.parameter(), p.gradient(), velocity, p.rate()},
                           {{"momentum", p.setting("momentum")},
                            {"nesterov", int64_t{p.setting("nesterov") != 0}},
                            {"weight_decay", p.decay()}});
  p.next(velocity, next.at(1));
  return next.at(0);
}

}  // namespace

const OptimizerUnit& sgd_optimizer() {
  static const OptimizerUnit unit = {
      "sgd",
      "Sutskever et al. 2013",
      {{"momentum", 0.9, 0, 0.9999, "of the velocity"},
       {"nesterov", 1, 0, 1, "the velocity is looked ahead", /*flag=*/true}},
      step,
      nullptr,
      OptimizerUnit::Response::kProportional};
  return unit;
}

}  // namespace espalier

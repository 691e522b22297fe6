// SOAP: Adam in the eigenbasis of Shampoo's second moments (Vyas et al. 2024, "SOAP: Improving and
// Stabilizing Shampoo using Adam", arXiv:2409.11321, algorithm 3). Of a gradient g [r, c]:
//   g' = Ql^T g Qr;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g'^2
//   p = p (1 - rate decay) - rate Ql (Ql^T m Qr / unbiased sqrt(v)) Qr^T
//   L = beta2 L + (1 - beta2) g g^T;  R likewise of g^T g;  Ql, Qr follow their eigenvectors by one
//   QR step every `every` steps
// The first step only finds the bases: they are zero before it, and so is what it rotates. A side
// longer than `max_side` keeps its axes as they are; vectors, and matrices of two such sides, take
// AdamW's step. State of a matrix: 2 r c + 2 r^2 + 2 c^2.
#include "train/optimizers/preconditioned.h"

namespace espalier {
namespace {

ValueId step(ParameterStep& p) {
  MatrixStep m(p);
  Preconditioner sides(p, m);
  if (sides.none()) return adamw_step(p);
  Builder& b = m.builder();
  const double beta1 = p.precise("beta1"), beta2 = p.precise("beta2");
  const Shape shape = {m.rows(), m.columns()};
  const ValueId first = m.moved(p.moment("first", shape), beta1, m.gradient());
  const ValueId turned = sides.between(m.gradient(), true);
  const ValueId second = m.moved(p.moment("second", shape), beta2, b.mul(turned, turned));
  // Nothing was rotated in the first step, so the second moment has seen one gradient less.
  const ValueId root = b.sqrt(b.mul(second, m.unbias(beta2, 1)));
  const ValueId direction =
      b.div(b.mul(sides.between(first, true), m.unbias(beta1)), b.add(root, p.precise("epsilon")));
  const ValueId update = sides.between(direction, false);
  sides.renew(
      [&](ValueId basis, ValueId moment) {
        return b.one("espalier.RefreshEigenbasis", {basis, moment, p.number()},
                     {{"every", p.whole("every")}});
      },
      /*use_renewed=*/false);
  return m.applied(update);
}

}  // namespace

const OptimizerUnit& soap_optimizer() {
  static const OptimizerUnit unit = [] {
    OptimizerUnit u = {"soap", "Vyas et al. 2024, arXiv:2409.11321", adam_settings(0.95, 0.95),
                       step};
    u.settings.push_back(Preconditioner::every_setting());
    u.settings.push_back(Preconditioner::side_setting());
    return u;
  }();
  return unit;
}

}  // namespace espalier

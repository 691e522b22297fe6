// Shampoo (Gupta et al. 2018, arXiv:1802.09568) as it is used today: moving means instead of sums,
// momentum, and each matrix' step as long as Adam's (grafting; Shi et al. 2023, "A Distributed
// Data-Parallel PyTorch Implementation of the Distributed Shampoo Optimizer", arXiv:2309.06497).
// Of a gradient g [r, c]:
//   m = beta1 m + (1 - beta1) g;  L = beta2 L + (1 - beta2) g g^T;  R likewise of g^T g
//   s = L^-power m R^-power, the roots renewed every `every` steps
//   p = p (1 - rate decay) - rate s |a| / |s|, a Adam's update
// A side longer than `max_side` has no root; the other's power is then twice as large, at most 1/2.
// Vectors, and matrices of two such sides, take AdamW's step. State of a matrix:
// 2 r c + 2 r^2 + 2 c^2.
#include <algorithm>

#include "train/optimizers/preconditioned.h"

namespace espalier {
namespace {

/// The Euclidean norm, f32 [].
ValueId norm(Builder& b, ValueId v) {
  return b.sqrt(b.one("ReduceSumSquare", {v}, {{"keepdims", int64_t{0}}}));
}

ValueId step(ParameterStep& p) {
  MatrixStep m(p);
  Preconditioner sides(p, m);
  if (sides.none()) return adamw_step(p);
  Builder& b = m.builder();
  const double beta1 = p.precise("beta1"), beta2 = p.precise("beta2");
  const Shape shape = {m.rows(), m.columns()};
  const ValueId g = m.gradient();
  const ValueId first = m.moved(p.moment("first", shape), beta1, g);
  const ValueId second = m.moved(p.moment("second", shape), beta2, b.mul(g, g));
  const ValueId root = b.sqrt(b.mul(second, m.unbias(beta2)));
  const ValueId adam = b.div(b.mul(first, m.unbias(beta1)), b.add(root, p.precise("epsilon")));
  const double power = p.precise("power");
  sides.renew(
      [&](ValueId matrix, ValueId moment) {
        return b.one("espalier.RefreshInverseRoot", {matrix, moment, p.number()},
                     {{"every", p.whole("every")},
                      {"power", float(sides.both() ? power : std::min(0.5, 2 * power))},
                      {"floor", p.setting("floor")}});
      },
      /*use_renewed=*/true);
  const ValueId direction = sides.between(first, true);
  constexpr double kLeast = 1e-30;
  const ValueId length =
      b.div(norm(b, adam), b.one("Max", {norm(b, direction), b.scalar(kLeast, direction)}));
  return m.applied(b.mul(direction, length));
}

}  // namespace

const OptimizerUnit& shampoo_optimizer() {
  static const OptimizerUnit unit = [] {
    OptimizerUnit u = {"shampoo", "Gupta et al. 2018, arXiv:1802.09568", adam_settings(0.95, 0.95),
                       step};
    u.settings.push_back(Preconditioner::every_setting());
    u.settings.push_back(Preconditioner::side_setting());
    u.settings.push_back({"power", 0.25, 0.01, 0.5, "of the inverse roots of both sides"});
    u.settings.push_back({"floor", 1e-6, 1e-12, 1, "least eigenvalue, as part of the largest"});
    return u;
  }();
  return unit;
}

}  // namespace espalier

#include "train/optimizers/preconditioned.h"

namespace espalier {

Preconditioner::Preconditioner(ParameterStep& p, MatrixStep& m) : p_(p), m_(m) {
  if (!m.is_matrix()) return;
  const int64_t most = p.whole("max_side");
  if (m.rows() <= most) left_ = side("left", m.rows());
  if (m.columns() <= most) right_ = side("right", m.columns());
}

Preconditioner::Side Preconditioner::side(const char* name, int64_t n) {
  return {p_.state(name, {n, n}), p_.state(std::string(name) + "_matrix", {n, n})};
}

ValueId Preconditioner::between(ValueId x, bool transpose) {
  if (left_) x = m_.product(left_->matrix, x, transpose, false);
  if (right_) x = m_.product(x, right_->matrix, false, !transpose);
  return x;
}

void Preconditioner::renew(const std::function<ValueId(ValueId, ValueId)>& renewed,
                           bool use_renewed) {
  const ValueId g = m_.gradient();
  const double beta2 = p_.precise("beta2");
  for (const bool is_left : {true, false}) {
    std::optional<Side>& side = is_left ? left_ : right_;
    if (!side) continue;
    const ValueId moment = m_.moved(side->moment, beta2, m_.product(g, g, !is_left, is_left));
    const ValueId matrix = renewed(side->matrix, moment);
    p_.next(side->matrix, matrix);
    if (use_renewed) side->matrix = matrix;
  }
}

Setting Preconditioner::side_setting() {
  return {"max_side",    512, 1, 1e5, "a longer side of a matrix is left alone", /*flag=*/false,
          /*whole=*/true};
}

Setting Preconditioner::every_setting() {
  return {"every", 10, 1, 1e9, "steps between refreshes", /*flag=*/false, /*whole=*/true};
}

}  // namespace espalier

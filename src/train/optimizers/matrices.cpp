#include "train/optimizers/matrices.h"

#include <algorithm>

namespace espalier {

int64_t MatrixStep::columns() const {
  return numel(p_.shape()) / std::max<int64_t>(1, p_.shape()[0]);
}

ValueId MatrixStep::gradient() {
  if (gradient_ == kNoValue) {
    gradient_ = b_.cast(p_.gradient(), DType::f32);
    if (p_.shape().size() > 2) gradient_ = b_.reshape(gradient_, {rows(), columns()});
  }
  return gradient_;
}

ValueId MatrixStep::number() {
  if (number_ == kNoValue) number_ = b_.cast(p_.number(), DType::f32);
  return number_;
}

ValueId MatrixStep::unbias(double beta, int64_t skipped) {
  ValueId t = number();
  if (skipped > 0) t = b_.one("Max", {b_.add(t, -double(skipped)), b_.scalar(1, t)});
  const ValueId forgotten = b_.one("Pow", {b_.scalar(beta, t), t});
  return b_.one("Reciprocal", {b_.add(b_.neg(forgotten), 1.0)});
}

ValueId MatrixStep::moved(ValueId mean, double beta, ValueId fresh) {
  const ValueId next = b_.add(b_.mul(mean, beta), b_.mul(fresh, 1 - beta));
  p_.next(mean, next);
  return next;
}

ValueId MatrixStep::product(ValueId a, ValueId b, bool transpose_a, bool transpose_b) {
  return b_.one("Gemm", {a, b},
                {{"transA", int64_t{transpose_a}}, {"transB", int64_t{transpose_b}}});
}

ValueId MatrixStep::applied(ValueId update, bool decays) {
  const Shape shape = p_.shape();
  if (b_.type(update).shape() != shape) update = b_.reshape(update, shape);
  ValueId kept = p_.parameter();
  if (decays && p_.decay() > 0)
    kept = b_.sub(kept, b_.mul(kept, b_.mul(p_.rate(), double(p_.decay()))));
  return b_.sub(kept, b_.mul(update, p_.rate()));
}

ValueId MatrixStep::adam(ValueId gradient, ValueId first, ValueId second, ValueId number,
                         ValueId keep) {
  const auto kept = [&](ValueId state) { return keep == kNoValue ? state : b_.mul(state, keep); };
  // A step at rate 1 from zero is the update with its sign changed.
  const ValueId zero = b_.constant(Tensor(DType::f32, b_.type(gradient).shape()));
  const ValueId one = b_.constant(Tensor::scalar(1.0f));
  const Values next =
      b_.op("espalier.AdamWStep", {zero, gradient, kept(first), kept(second), one, number},
            {{"beta1", p_.setting("beta1")},
             {"beta2", p_.setting("beta2")},
             {"epsilon", p_.setting("epsilon")},
             {"weight_decay", 0.0f}});
  p_.next(first, next.at(1));
  p_.next(second, next.at(2));
  return b_.neg(next.at(0));
}

ValueId adamw_step(ParameterStep& p) {
  Builder b = p.builder();
  const ValueId first = p.moment("first", p.shape()), second = p.moment("second", p.shape());
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

std::vector<Setting> adam_settings(double beta1, double beta2) {
  return {{"beta1", beta1, 0, 0.9999999, "of the first moment"},
          {"beta2", beta2, 0, 0.9999999, "of the second moment"},
          {"epsilon", 1e-8, 1e-30, 1, "added to the root of the second moment"}};
}

}  // namespace espalier

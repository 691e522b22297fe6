// Adafactor without momentum (Shazeer & Stern 2018, arXiv:1804.04235, algorithms 4 and 5): of the
// second moment of a matrix only row and column means are kept, R and C, and it is taken for
// R C / mean(R); of vectors all of it. State: rows + columns of a matrix. Parameters of more axes
// are matrices of their first axis and the rest.
//   beta2 = 1 - t^-decay_power;  u = g / sqrt(V);  u /= max(1, RMS(u) / clip)
//   p = p (1 - rate weight_decay) - rate s u,  s = max(1e-3, RMS(p)) if relative, else 1
#include "train/optimizer.h"

namespace espalier {
namespace {

constexpr double kFloor = 1e-30;         // epsilon 1 of the paper
constexpr double kSmallestScale = 1e-3;  // epsilon 2

class Adafactor {
 public:
  explicit Adafactor(ParameterStep& p) : p_(p), b_(p.builder()) {}

  ValueId run() {
    const Shape shape = p_.shape();
    const ValueId gradient = b_.cast(p_.gradient(), DType::f32);
    ValueId update = shape.size() >= 2 ? by_factors(gradient, shape) : whole(gradient, shape);
    const ValueId root = mean_root(update);
    update = b_.div(update, at_least_one(b_.mul(root, 1 / double(p_.setting("clip")))));
    ValueId rate = p_.rate();
    if (p_.setting("relative") != 0)
      rate = b_.mul(rate, b_.one("Max", {mean_root(p_.parameter()),
                                         b_.scalar(kSmallestScale, p_.parameter())}));
    ValueId kept = p_.parameter();
    if (p_.decay() > 0) kept = b_.sub(kept, b_.mul(kept, b_.mul(p_.rate(), double(p_.decay()))));
    return b_.sub(kept, b_.mul(update, rate));
  }

 private:
  /// moment' = beta2 moment + (1 - beta2) fresh.
  ValueId moved(const char* name, const Shape& shape, ValueId fresh) {
    const ValueId moment = p_.state(name, shape);
    const ValueId next = b_.add(moment, b_.mul(b_.sub(fresh, moment), part()));
    p_.next(moment, next);
    return next;
  }

  /// 1 - beta2 = t^-decay_power.
  ValueId part() {
    if (part_ == kNoValue)
      part_ = b_.one("Pow", {b_.cast(p_.number(), DType::f32),
                             b_.scalar(-double(p_.setting("decay_power")), p_.parameter())});
    return part_;
  }

  ValueId squares(ValueId gradient) { return b_.add(b_.mul(gradient, gradient), kFloor); }

  ValueId whole(ValueId gradient, const Shape& shape) {
    return b_.div(gradient, b_.sqrt(moved("second", shape, squares(gradient))));
  }

  ValueId by_factors(ValueId gradient, const Shape& shape) {
    const int64_t rows = shape[0], columns = numel(shape) / std::max<int64_t>(1, rows);
    const bool matrix = shape.size() == 2;
    const ValueId g = matrix ? gradient : b_.reshape(gradient, {rows, columns});
    const ValueId square = squares(g);
    const ValueId r = moved("rows", {rows, 1}, b_.reduce_mean(square, {1}));
    const ValueId c = moved("columns", {1, columns}, b_.reduce_mean(square, {0}));
    // Each root by itself: the product of two small factors could vanish.
    const ValueId by_row = b_.sqrt(b_.div(r, b_.reduce_mean(r, {0, 1})));
    const ValueId update = b_.div(b_.div(g, by_row), b_.sqrt(c));
    return matrix ? update : b_.reshape(update, shape);
  }

  /// The root of the mean square of all elements, [].
  ValueId mean_root(ValueId v) {
    const ValueId sum = b_.one("ReduceSumSquare", {v}, {{"keepdims", int64_t{0}}});
    return b_.sqrt(b_.mul(sum, 1 / double(std::max<int64_t>(1, numel(p_.shape())))));
  }

  ValueId at_least_one(ValueId v) { return b_.one("Max", {v, b_.scalar(1, v)}); }

  ParameterStep& p_;
  Builder b_;
  ValueId part_ = kNoValue;
};

ValueId step(ParameterStep& p) { return Adafactor(p).run(); }

}  // namespace

const OptimizerUnit& adafactor_optimizer() {
  static const OptimizerUnit unit = {
      "adafactor",
      "Shazeer & Stern 2018, arXiv:1804.04235",
      {{"decay_power", 0.8, 0, 1, "of the second moment: it forgets by t to minus this"},
       {"clip", 1, 1e-6, 1e6, "largest root mean square of an update"},
       {"relative", 1, 0, 1, "the rate is a part of the parameter's size", /*flag=*/true}},
      step};
  return unit;
}

}  // namespace espalier

// Erf, ONNX opset 13: y = 2/sqrt(pi) times the integral of e^(-t^2) from 0 to x.
#include <numbers>

#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return std::erf(x);
}

// dx = dy 2/sqrt(pi) e^(-x^2).
ValueId gradient(Builder& b, const Tape& t) {
  const ValueId x = t.x(0);
  const double scale = 2 * std::numbers::inv_sqrtpi;
  return b.mul(b.mul(t.dy(), b.exp(b.neg(b.mul(x, x)))), scale);
}

}  // namespace

const Room& erf() {
  static const Room room = unary_room({
      .onnx = {"Erf", 13},
      .apply = {apply, apply},
      .gradient = gradient,
      .flops = 15,
      .pointwise = ScalarCode::kErf,
  });
  return room;
}

}  // namespace espalier::ops

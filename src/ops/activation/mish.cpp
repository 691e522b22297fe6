// Mish, ONNX opset 18: y = x tanh(softplus(x)) (Misra, arXiv 1908.08681).
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  const Real softplus = std::max(x, Real(0)) + std::log1p(std::exp(-std::abs(x)));
  return x * std::tanh(softplus);
}

// dx = dy (t + x sigmoid(x) (1 - t^2)) with t = tanh(softplus(x)).
ValueId gradient(Builder& b, const Tape& t) {
  const ValueId x = t.x(0), one = b.scalar(1, x);
  const ValueId tanh = b.one("Tanh", {b.one("Softplus", {x})});
  const ValueId bend = b.mul(b.mul(x, b.one("Sigmoid", {x})), b.sub(one, b.mul(tanh, tanh)));
  return b.mul(t.dy(), b.add(tanh, bend));
}

}  // namespace

const Room& mish() {
  static const Room room = unary_room({
      .onnx = {"Mish", 18},
      .apply = {apply, apply},
      .gradient = gradient,
      .flops = 30,
      .quantizes = true,
      .lo = -4,
      .hi = 4,
      .c = "x0 * tanh~(fmax~(x0, 0) + log1p~(exp~(-fabs~(x0))))",
  });
  return room;
}

}  // namespace espalier::ops

// Softsign, ONNX opset 1: y = x / (1 + |x|).
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return x / (1 + std::abs(x));
}

// dx = dy / (1 + |x|)^2.
ValueId gradient(Builder& b, const Tape& t) {
  const ValueId d = b.add(b.one("Abs", {t.x(0)}), 1.0);
  return b.div(t.dy(), b.mul(d, d));
}

}  // namespace

const Room& softsign() {
  static const Room room = unary_room({
      .onnx = {"Softsign", 1},
      .apply = {apply, apply},
      .gradient = gradient,
      .flops = 6,
      .quantizes = true,
      .lo = -4,
      .hi = 4,
      .c = "x0 / (1 + fabs~(x0))",
  });
  return room;
}

}  // namespace espalier::ops

// HardSwish, ONNX opset 14: y = x max(0, min(1, x / 6 + 1 / 2)).
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return x * std::clamp(x / 6 + Real(0.5), Real(0), Real(1));
}

// dx = dy (x / 3 + 1 / 2) inside (-3, 3); 0 below, dy above.
ValueId gradient(Builder& b, const Tape& t) {
  const ValueId x = t.x(0), zero = b.scalar(0, x);
  const ValueId slope = b.add(b.mul(x, 1.0 / 3), 0.5);
  const ValueId upper = b.where(b.less(x, b.scalar(3, x)), b.mul(t.dy(), slope), t.dy());
  return b.where(b.greater(x, b.scalar(-3, x)), upper, zero);
}

}  // namespace

const Room& hard_swish() {
  static const Room room = unary_room({
      .onnx = {"HardSwish", 14},
      .apply = {apply, apply},
      .gradient = gradient,
      .flops = 5,
      .pointwise = ScalarCode::kHardSwish,
      .quantizes = true,
      .lo = -4,
      .hi = 4,
      .kinks = {-3, 3},
  });
  return room;
}

}  // namespace espalier::ops

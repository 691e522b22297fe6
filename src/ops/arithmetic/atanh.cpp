// Atanh, ONNX opset 9: y = ln((1 + x) / (1 - x)) / 2, NaN outside [-1, 1].
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return std::atanh(x);
}

// dx = dy / (1 - x^2).
ValueId gradient(Builder& b, const Tape& t) {
  const ValueId x = t.x(0);
  return b.div(t.dy(), b.sub(b.scalar(1, x), b.mul(x, x)));
}

}  // namespace

const Room& atanh() {
  static const Room room = unary_room({
      .onnx = {"Atanh", 9},
      .apply = {apply, apply},
      .gradient = gradient,
      .flops = 20,
      .lo = -0.9,
      .hi = 0.9,
      .c = "atanh~(x0)",
  });
  return room;
}

}  // namespace espalier::ops

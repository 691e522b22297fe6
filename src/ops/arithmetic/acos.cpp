// Acos, ONNX opset 7: y = arccos x, NaN outside [-1, 1].
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return std::acos(x);
}

// dx = -dy / sqrt(1 - x^2).
ValueId gradient(Builder& b, const Tape& t) {
  const ValueId x = t.x(0);
  return b.neg(b.div(t.dy(), b.sqrt(b.sub(b.scalar(1, x), b.mul(x, x)))));
}

}  // namespace

const Room& acos() {
  static const Room room = unary_room({
      .onnx = {"Acos", 7},
      .apply = {apply, apply},
      .gradient = gradient,
      .flops = 15,
      .zero_passes = false,
      .lo = -0.9,
      .hi = 0.9,
      .c = "acos~(x0)",
  });
  return room;
}

}  // namespace espalier::ops

// Reciprocal, ONNX opset 13: y = 1 / x.
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return 1 / x;
}

// dx = -dy y^2.
ValueId gradient(Builder& b, const Tape& t) {
  const ValueId y = t.y(0);
  return b.neg(b.mul(t.dy(), b.mul(y, y)));
}

}  // namespace

const Room& reciprocal() {
  static const Room room = unary_room({
      .onnx = {"Reciprocal", 13},
      .apply = {apply, apply},
      .gradient = gradient,
      .flops = 4,
      .zero_passes = false,
      .pointwise = ScalarCode::kReciprocal,
      .lo = 0.5,
      .hi = 3,
  });
  return room;
}

}  // namespace espalier::ops

// Sqrt, ONNX opset 13: y = the square root of x, NaN below 0.
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return std::sqrt(x);
}

// dx = dy / (2 y).
ValueId gradient(Builder& b, const Tape& t) { return b.div(b.mul(t.dy(), 0.5), t.y(0)); }

}  // namespace

const Room& sqrt() {
  static const Room room = unary_room({
      .onnx = {"Sqrt", 13},
      .apply = {apply, apply},
      .gradient = gradient,
      .flops = 4,
      .pointwise = ScalarCode::kSqrt,
      .lo = 0.1,
      .hi = 4,
  });
  return room;
}

}  // namespace espalier::ops

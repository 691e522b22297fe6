// Tan, ONNX opset 7: y = tan x, in radians.
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return std::tan(x);
}

// dx = dy (1 + y^2).
ValueId gradient(Builder& b, const Tape& t) {
  return b.mul(t.dy(), b.add(b.mul(t.y(0), t.y(0)), 1.0));
}

}  // namespace

const Room& tan() {
  static const Room room = unary_room({
      .onnx = {"Tan", 7},
      .apply = {apply, apply},
      .gradient = gradient,
      .flops = 20,
      .lo = -1.2,
      .hi = 1.2,
      .c = "tan~(x0)",
  });
  return room;
}

}  // namespace espalier::ops

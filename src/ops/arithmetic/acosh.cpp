// Acosh, ONNX opset 9: y = ln(x + sqrt(x^2 - 1)), NaN below 1.
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return std::acosh(x);
}

// dx = dy / sqrt(x^2 - 1).
ValueId gradient(Builder& b, const Tape& t) {
  return b.div(t.dy(), b.sqrt(b.add(b.mul(t.x(0), t.x(0)), -1.0)));
}

}  // namespace

const Room& acosh() {
  static const Room room = unary_room({
      .onnx = {"Acosh", 9},
      .apply = {apply, apply},
      .gradient = gradient,
      .flops = 20,
      .zero_passes = false,
      .lo = 1.2,
      .hi = 3,
      .c = "acosh~(x0)",
  });
  return room;
}

}  // namespace espalier::ops

// Asinh, ONNX opset 9: y = ln(x + sqrt(x^2 + 1)).
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return std::asinh(x);
}

// dx = dy / sqrt(x^2 + 1).
ValueId gradient(Builder& b, const Tape& t) {
  return b.div(t.dy(), b.sqrt(b.add(b.mul(t.x(0), t.x(0)), 1.0)));
}

}  // namespace

const Room& asinh() {
  static const Room room = unary_room({
      .onnx = {"Asinh", 9},
      .apply = {apply, apply},
      .gradient = gradient,
      .flops = 20,
      .c = "asinh~(x0)",
  });
  return room;
}

}  // namespace espalier::ops

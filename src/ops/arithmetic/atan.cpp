// Atan, ONNX opset 7: y = arctan x.
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return std::atan(x);
}

// dx = dy / (1 + x^2).
ValueId gradient(Builder& b, const Tape& t) {
  return b.div(t.dy(), b.add(b.mul(t.x(0), t.x(0)), 1.0));
}

}  // namespace

const Room& atan() {
  static const Room room = unary_room({
      .onnx = {"Atan", 7},
      .apply = {apply, apply},
      .gradient = gradient,
      .flops = 15,
      .c = "atan~(x0)",
  });
  return room;
}

}  // namespace espalier::ops

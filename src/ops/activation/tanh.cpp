// Tanh, ONNX opset 13: y = tanh(x).
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return std::tanh(x);
}

// dx = dy (1 - y^2).
ValueId gradient(Builder& b, const Tape& t) {
  const ValueId y = t.y(0);
  return b.sub(t.dy(), b.mul(t.dy(), b.mul(y, y)));
}

}  // namespace

const Room& tanh() {
  static const Room room = unary_room({
      .onnx = {"Tanh", 13},
      .apply = {apply, apply},
      .gradient = gradient,
      .flops = 12,
      .pointwise = ScalarCode::kTanh,
      .quantizes = true,
      .lo = -3,
      .hi = 3,
  });
  return room;
}

}  // namespace espalier::ops

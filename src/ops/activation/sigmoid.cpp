// Sigmoid, ONNX opset 13: y = 1 / (1 + e^-x), without overflow.
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  const Real e = std::exp(-std::abs(x));
  return (x < 0 ? e : Real(1)) / (1 + e);
}

// dx = dy y (1 - y).
ValueId gradient(Builder& b, const Tape& t) {
  const ValueId y = t.y(0);
  return b.mul(t.dy(), b.sub(y, b.mul(y, y)));
}

}  // namespace

const Room& sigmoid() {
  static const Room room = unary_room({
      .onnx = {"Sigmoid", 13},
      .apply = {apply, apply},
      .gradient = gradient,
      .flops = 12,
      .zero_passes = false,
      .pointwise = ScalarCode::kSigmoid,
      .quantizes = true,
      .lo = -4,
      .hi = 4,
  });
  return room;
}

}  // namespace espalier::ops

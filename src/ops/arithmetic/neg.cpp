// Neg, ONNX opset 13: y = -x, of floats and signed integers (the smallest wraps).
#include "ops/arithmetic/integers.h"
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return -x;
}

int64_t integers(int64_t x, bool) { return negated(x); }

// dx = -dy.
ValueId gradient(Builder& b, const Tape& t) { return b.neg(t.dy()); }

}  // namespace

const Room& neg() {
  static const Room room = unary_room({
      .onnx = {"Neg", 13},
      .apply = {apply, apply},
      .integers = integers,
      .gradient = gradient,
      .pointwise = ScalarCode::kNeg,
  });
  return room;
}

}  // namespace espalier::ops

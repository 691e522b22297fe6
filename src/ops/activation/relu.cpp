// Relu, ONNX opset 14: y = max(x, 0). NaN stays NaN.
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return x < 0 ? Real(0) : x;
}

int64_t integers(int64_t x, bool is_unsigned) { return is_unsigned || x > 0 ? x : 0; }

// dx = x > 0 ? dy : 0; the left derivative at the kink.
// By the result, which what follows mostly keeps anyway: it is above zero where the operand is.
ValueId gradient(Builder& b, const Tape& t) {
  const ValueId zero = b.scalar(0, t.y(0));
  return b.where(b.greater(t.y(0), zero), t.dy(), zero);
}

}  // namespace

const Room& relu() {
  static const Room room = unary_room({
      .onnx = {"Relu", 14},
      .apply = {apply, apply},
      .integers = integers,
      .gradient = gradient,
      .pointwise = ScalarCode::kRelu,
      .quantizes = true,
      .kinks = {0},
  });
  return room;
}

}  // namespace espalier::ops

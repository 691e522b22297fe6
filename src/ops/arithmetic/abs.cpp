// Abs, ONNX opset 13: y = |x| (the smallest integer wraps).
#include "ops/arithmetic/integers.h"
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return std::abs(x);
}

int64_t integers(int64_t x, bool is_unsigned) { return is_unsigned || x >= 0 ? x : negated(x); }

// dx = dy sign(x); 0 at the kink.
ValueId gradient(Builder& b, const Tape& t) { return b.mul(t.dy(), b.one("Sign", {t.x(0)})); }

}  // namespace

const Room& abs() {
  static const Room room = unary_room({
      .onnx = {"Abs", 13},
      .apply = {apply, apply},
      .integers = integers,
      .gradient = gradient,
      .pointwise = ScalarCode::kAbs,
      .kinks = {0},
  });
  return room;
}

}  // namespace espalier::ops

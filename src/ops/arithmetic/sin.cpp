// Sin, ONNX opset 7: y = sin x, in radians.
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return std::sin(x);
}

// dx = dy cos x.
ValueId gradient(Builder& b, const Tape& t) { return b.mul(t.dy(), b.one("Cos", {t.x(0)})); }

}  // namespace

const Room& sin() {
  static const Room room = unary_room({
      .onnx = {"Sin", 7},
      .apply = {apply, apply},
      .gradient = gradient,
      .flops = 15,
      .pointwise = ScalarCode::kSin,
  });
  return room;
}

}  // namespace espalier::ops

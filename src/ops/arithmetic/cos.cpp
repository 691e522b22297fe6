// Cos, ONNX opset 7: y = cos x, in radians.
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return std::cos(x);
}

// dx = -dy sin x.
ValueId gradient(Builder& b, const Tape& t) { return b.neg(b.mul(t.dy(), b.one("Sin", {t.x(0)}))); }

}  // namespace

const Room& cos() {
  static const Room room = unary_room({
      .onnx = {"Cos", 7},
      .apply = {apply, apply},
      .gradient = gradient,
      .flops = 15,
      .zero_passes = false,
      .pointwise = ScalarCode::kCos,
  });
  return room;
}

}  // namespace espalier::ops

// Sinh, ONNX opset 9: y = (e^x - e^-x) / 2.
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return std::sinh(x);
}

// dx = dy cosh x.
ValueId gradient(Builder& b, const Tape& t) { return b.mul(t.dy(), b.one("Cosh", {t.x(0)})); }

}  // namespace

const Room& sinh() {
  static const Room room = unary_room({
      .onnx = {"Sinh", 9},
      .apply = {apply, apply},
      .gradient = gradient,
      .flops = 20,
      .c = "sinh~(x0)",
  });
  return room;
}

}  // namespace espalier::ops

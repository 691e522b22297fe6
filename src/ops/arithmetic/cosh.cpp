// Cosh, ONNX opset 9: y = (e^x + e^-x) / 2.
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return std::cosh(x);
}

// dx = dy sinh x.
ValueId gradient(Builder& b, const Tape& t) { return b.mul(t.dy(), b.one("Sinh", {t.x(0)})); }

}  // namespace

const Room& cosh() {
  static const Room room = unary_room({
      .onnx = {"Cosh", 9},
      .apply = {apply, apply},
      .gradient = gradient,
      .flops = 20,
      .zero_passes = false,
      .c = "cosh~(x0)",
  });
  return room;
}

}  // namespace espalier::ops

// Exp, ONNX opset 13: y = e^x.
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return std::exp(x);
}

// dx = dy y.
ValueId gradient(Builder& b, const Tape& t) { return b.mul(t.dy(), t.y(0)); }

}  // namespace

const Room& exp() {
  static const Room room = unary_room({
      .onnx = {"Exp", 13},
      .apply = {apply, apply},
      .gradient = gradient,
      .flops = 10,
      .zero_passes = false,
      .pointwise = ScalarCode::kExp,
  });
  return room;
}

}  // namespace espalier::ops

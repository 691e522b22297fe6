// Log, ONNX opset 13: y = ln x, NaN below 0.
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return std::log(x);
}

// dx = dy / x.
ValueId gradient(Builder& b, const Tape& t) { return b.div(t.dy(), t.x(0)); }

}  // namespace

const Room& log() {
  static const Room room = unary_room({
      .onnx = {"Log", 13},
      .apply = {apply, apply},
      .gradient = gradient,
      .flops = 10,
      .zero_passes = false,
      .pointwise = ScalarCode::kLog,
      .lo = 0.1,
      .hi = 4,
  });
  return room;
}

}  // namespace espalier::ops

// Sign, ONNX opset 13: y = -1, 0 or 1 as x is below, at or above 0; NaN stays NaN.
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return x > 0 ? Real(1) : x < 0 ? Real(-1) : x;
}

int64_t integers(int64_t x, bool is_unsigned) { return x == 0 ? 0 : is_unsigned || x > 0 ? 1 : -1; }

}  // namespace

const Room& sign() {
  static const Room room = unary_room({
      .onnx = {"Sign", 13},
      .apply = {apply, apply},
      .integers = integers,
      .pointwise = ScalarCode::kSign,
      .kinks = {0},
  });
  return room;
}

}  // namespace espalier::ops

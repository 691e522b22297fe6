// Floor, ONNX opset 13: y = the largest integer not above x.
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return std::floor(x);
}

}  // namespace

const Room& floor() {
  static const Room room = unary_room({
      .onnx = {"Floor", 13},
      .apply = {apply, apply},
      .pointwise = ScalarCode::kFloor,
      .kinks = {-2, -1, 0, 1, 2},
  });
  return room;
}

}  // namespace espalier::ops

// Round, ONNX opset 11: y = the integer nearest to x, halves to the even one.
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return std::nearbyint(x);
}

}  // namespace

const Room& round() {
  static const Room room = unary_room({
      .onnx = {"Round", 11},
      .apply = {apply, apply},
      .pointwise = ScalarCode::kRound,
      .kinks = {-1.5, -0.5, 0.5, 1.5},
  });
  return room;
}

}  // namespace espalier::ops

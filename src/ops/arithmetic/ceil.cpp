// Ceil, ONNX opset 13: y = the smallest integer not below x.
#include "ops/unary.h"

namespace espalier::ops {
namespace {

template <class Real>
Real apply(Real x) {
  return std::ceil(x);
}

}  // namespace

const Room& ceil() {
  static const Room room = unary_room({
      .onnx = {"Ceil", 13},
      .apply = {apply, apply},
      .pointwise = ScalarCode::kCeil,
      .kinks = {-2, -1, 0, 1, 2},
  });
  return room;
}

}  // namespace espalier::ops

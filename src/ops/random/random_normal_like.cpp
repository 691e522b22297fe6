// RandomNormalLike, ONNX opset 1: normal numbers of that mean and standard deviation, in the
// operand's shape.
#include "ops/random/draw.h"

namespace espalier::ops {

const Room& random_normal_like() {
  static const Room room = like_draw({"RandomNormalLike", 1}, kNormal);
  return room;
}

}  // namespace espalier::ops

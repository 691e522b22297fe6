// RandomUniformLike, ONNX opset 1: uniform numbers in [low, high), in the operand's shape.
#include "ops/random/draw.h"

namespace espalier::ops {

const Room& random_uniform_like() {
  static const Room room = like_draw({"RandomUniformLike", 1}, kUniform);
  return room;
}

}  // namespace espalier::ops

// RandomUniform, ONNX opset 1: a tensor of uniform numbers in [low, high).
#include "ops/random/draw.h"

namespace espalier::ops {

const Room& random_uniform() {
  static const Room room = shaped_draw({"RandomUniform", 1}, kUniform);
  return room;
}

}  // namespace espalier::ops

// RandomNormal, ONNX opset 1: a tensor of normal numbers of that mean and standard deviation.
#include "ops/random/draw.h"

namespace espalier::ops {

const Room& random_normal() {
  static const Room room = shaped_draw({"RandomNormal", 1}, kNormal);
  return room;
}

}  // namespace espalier::ops

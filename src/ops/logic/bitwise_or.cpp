// BitwiseOr, ONNX opset 18: the bits set in either of two integers, with numpy broadcasting.
#include "ops/logic/bitwise.h"

namespace espalier::ops {

const Room& bitwise_or() {
  static const Room room = bitwise_room({
      .onnx = {"BitwiseOr", 18},
      .apply = [](int64_t a, int64_t b) { return a | b; },
      .zero = AxisMap::Zero::kIfAll,
      .c = "|",
  });
  return room;
}

}  // namespace espalier::ops

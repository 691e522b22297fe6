// BitwiseAnd, ONNX opset 18: the bits set in both of two integers, with numpy broadcasting.
#include "ops/logic/bitwise.h"

namespace espalier::ops {

const Room& bitwise_and() {
  static const Room room = bitwise_room({
      .onnx = {"BitwiseAnd", 18},
      .apply = [](int64_t a, int64_t b) { return a & b; },
      .zero = AxisMap::Zero::kIfAny,
      .c = "&",
  });
  return room;
}

}  // namespace espalier::ops

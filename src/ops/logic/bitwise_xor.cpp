// BitwiseXor, ONNX opset 18: the bits set in one but not both of two integers, with numpy
// broadcasting.
#include "ops/logic/bitwise.h"

namespace espalier::ops {

const Room& bitwise_xor() {
  static const Room room = bitwise_room({
      .onnx = {"BitwiseXor", 18},
      .apply = [](int64_t a, int64_t b) { return a ^ b; },
      .zero = AxisMap::Zero::kIfAll,
      .c = "^",
  });
  return room;
}

}  // namespace espalier::ops

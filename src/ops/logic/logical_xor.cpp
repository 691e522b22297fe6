// Xor, ONNX opset 7: y = exactly one of a and b, of booleans with numpy broadcasting.
#include "ops/logic/logical.h"

namespace espalier::ops {

const Room& logical_xor() {
  static const Room room = logical_room({
      .onnx = {"Xor", 7},
      .apply = [](bool a, bool b) { return a != b; },
      .zero = AxisMap::Zero::kIfAll,
      .c = "x0 != x1",
  });
  return room;
}

}  // namespace espalier::ops

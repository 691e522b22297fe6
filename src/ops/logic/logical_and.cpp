// And, ONNX opset 7: y = a and b, of booleans with numpy broadcasting.
#include "ops/logic/logical.h"

namespace espalier::ops {

const Room& logical_and() {
  static const Room room = logical_room({
      .onnx = {"And", 7},
      .apply = [](bool a, bool b) { return a && b; },
      .zero = AxisMap::Zero::kIfAny,
      .pointwise = ScalarCode::kMul,
      .c = "x0 && x1",
  });
  return room;
}

}  // namespace espalier::ops

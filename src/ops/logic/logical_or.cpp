// Or, ONNX opset 7: y = a or b, of booleans with numpy broadcasting.
#include "ops/logic/logical.h"

namespace espalier::ops {

const Room& logical_or() {
  static const Room room = logical_room({
      .onnx = {"Or", 7},
      .apply = [](bool a, bool b) { return a || b; },
      .zero = AxisMap::Zero::kIfAll,
      .pointwise = ScalarCode::kMax,
      .c = "x0 || x1",
  });
  return room;
}

}  // namespace espalier::ops

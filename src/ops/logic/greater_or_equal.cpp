// GreaterOrEqual, ONNX opset 16: y = a >= b with numpy broadcasting. False where either is NaN.
#include "ops/logic/comparison.h"

namespace espalier::ops {

const Room& greater_or_equal() {
  static const Room room = comparison_room({
      .onnx = {"GreaterOrEqual", 16},
      .reals = [](double a, double b) { return a >= b; },
      .integers = [](int64_t a, int64_t b) { return a >= b; },
      .code = ScalarCode::kGreaterEqual,
      .zero_passes = false,
  });
  return room;
}

}  // namespace espalier::ops

// LessOrEqual, ONNX opset 16: y = a <= b with numpy broadcasting. False where either is NaN.
#include "ops/logic/comparison.h"

namespace espalier::ops {

const Room& less_or_equal() {
  static const Room room = comparison_room({
      .onnx = {"LessOrEqual", 16},
      .reals = [](double a, double b) { return a <= b; },
      .integers = [](int64_t a, int64_t b) { return a <= b; },
      .code = ScalarCode::kLessEqual,
      .zero_passes = false,
  });
  return room;
}

}  // namespace espalier::ops

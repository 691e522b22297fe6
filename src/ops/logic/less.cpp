// Less, ONNX opset 13: y = a < b with numpy broadcasting. False where either is NaN.
#include "ops/logic/comparison.h"

namespace espalier::ops {

const Room& less() {
  static const Room room = comparison_room({
      .onnx = {"Less", 13},
      .reals = [](double a, double b) { return a < b; },
      .integers = [](int64_t a, int64_t b) { return a < b; },
      .code = ScalarCode::kLess,
      .zero_passes = true,
  });
  return room;
}

}  // namespace espalier::ops

// Greater, ONNX opset 13: y = a > b with numpy broadcasting. False where either is NaN.
#include "ops/logic/comparison.h"

namespace espalier::ops {

const Room& greater() {
  static const Room room = comparison_room({
      .onnx = {"Greater", 13},
      .reals = [](double a, double b) { return a > b; },
      .integers = [](int64_t a, int64_t b) { return a > b; },
      .code = ScalarCode::kGreater,
      .zero_passes = true,
  });
  return room;
}

}  // namespace espalier::ops

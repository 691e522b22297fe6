// Equal, ONNX opset 13: y = a == b with numpy broadcasting. NaN equals nothing.
#include "ops/logic/comparison.h"

namespace espalier::ops {

const Room& equal() {
  static const Room room = comparison_room({
      .onnx = {"Equal", 13},
      .reals = [](double a, double b) { return a == b; },
      .integers = [](int64_t a, int64_t b) { return a == b; },
      .code = ScalarCode::kEqual,
      .zero_passes = false,
      .takes_bool = true,
  });
  return room;
}

}  // namespace espalier::ops

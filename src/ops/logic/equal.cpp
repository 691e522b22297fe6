// Equal, ONNX opset 19: y = a == b with numpy broadcasting, of numbers, booleans and strings. NaN
// equals nothing.
#include "ops/logic/comparison.h"

namespace espalier::ops {

const Room& equal() {
  static const Room room = comparison_room({
      .onnx = {"Equal", 19},
      .reals = [](double a, double b) { return a == b; },
      .integers = [](int64_t a, int64_t b) { return a == b; },
      .code = ScalarCode::kEqual,
      .zero_passes = false,
      .takes_bool = true,
      .strings = [](const std::string& a, const std::string& b) { return a == b; },
  });
  return room;
}

}  // namespace espalier::ops

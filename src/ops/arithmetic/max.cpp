// Max, ONNX opset 13: the maximum of any number of operands with numpy broadcasting. NaN wins over
// numbers.
#include "ops/arithmetic/extremum.h"

namespace espalier::ops {

const Room& max() {
  static const Room room = extremum_room({"Max", 13}, true);
  return room;
}

}  // namespace espalier::ops

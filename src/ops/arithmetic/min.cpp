// Min, ONNX opset 13: the minimum of any number of operands with numpy broadcasting. NaN wins over
// numbers.
#include "ops/arithmetic/extremum.h"

namespace espalier::ops {

const Room& min() {
  static const Room room = extremum_room({"Min", 13}, false);
  return room;
}

}  // namespace espalier::ops

// BlackmanWindow, ONNX opset 17: two cosines with a0, a1, a2 = 0.42, 0.5, 0.08.
#include "ops/spectral/cosine_window.h"

namespace espalier::ops {

const Room& blackman_window() {
  static const Room room = cosine_window_room({"BlackmanWindow", 17}, 0.42, 0.5, 0.08);
  return room;
}

}  // namespace espalier::ops

// HannWindow, ONNX opset 17: a raised cosine that begins at 0.
#include "ops/spectral/cosine_window.h"

namespace espalier::ops {

const Room& hann_window() {
  static const Room room = cosine_window_room({"HannWindow", 17}, 0.5, 0.5, 0);
  return room;
}

}  // namespace espalier::ops

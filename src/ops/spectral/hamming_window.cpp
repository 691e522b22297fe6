// HammingWindow, ONNX opset 17: a raised cosine on a pedestal of 2/23.
#include "ops/spectral/cosine_window.h"

namespace espalier::ops {

const Room& hamming_window() {
  static const Room room = cosine_window_room({"HammingWindow", 17}, 25.0 / 46, 21.0 / 46, 0);
  return room;
}

}  // namespace espalier::ops

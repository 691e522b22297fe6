// Windows that are sums of cosines: w[i] = a0 - a1 cos(2 pi i / N) + a2 cos(4 pi i / N), where N is
// the size of a periodic window, one less of a symmetric one.
#pragma once

#include "ops/common.h"

namespace espalier::ops {

/// Attributes of HannWindow, HammingWindow and BlackmanWindow.
struct CosineWindow {
  DType output_datatype = DType::f32;
  bool periodic = true;
};

/// The room of the window with those coefficients.
Room cosine_window_room(OpName onnx, double a0, double a1, double a2);

}  // namespace espalier::ops

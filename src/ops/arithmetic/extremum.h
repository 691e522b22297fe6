// The rooms of Max and Min: one mechanism, mirrored.
#pragma once

#include "ops/common.h"

namespace espalier::ops {

/// `maximum` chooses between the two; the name is given too, as the room's own.
Room extremum_room(OpName onnx, bool maximum);

}  // namespace espalier::ops

// Rooms of broadcasting operators on two booleans, from the little that distinguishes them.
#pragma once

#include <optional>

#include "ops/common.h"

namespace espalier::ops {

struct LogicalOp {
  OpName onnx;
  bool (*apply)(bool, bool);
  AxisMap::Zero zero;
  /// The function that computes it on lanes of 1 and 0.
  std::optional<ScalarCode> pointwise = std::nullopt;
  /// The same of x0 and x1 in C.
  const char* c = "";
};

Room logical_room(LogicalOp op);

/// Refuses an operand that is not boolean.
void require_bool(const TypesIn& in, size_t i);

}  // namespace espalier::ops

// Rooms of broadcasting operators on the bits of two integers, from the little that distinguishes
// them.
#pragma once

#include "ops/common.h"

namespace espalier::ops {

struct BitwiseOp {
  OpName onnx;
  int64_t (*apply)(int64_t, int64_t);
  AxisMap::Zero zero;
  const char* c;  ///< the operator's sign in C
};

Room bitwise_room(BitwiseOp op);

/// Refuses an operand that is no integer.
void require_bits(const TypesIn& in, size_t i);

}  // namespace espalier::ops

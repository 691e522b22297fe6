// Rooms of broadcasting comparisons, from the little that distinguishes them.
#pragma once

#include "ops/common.h"

namespace espalier::ops {

/// A comparison of two tensors of one element type; the result is boolean.
struct ComparisonOp {
  OpName onnx;
  /// Floats of every width are exact in double.
  bool (*reals)(double, double);
  /// Of integers, ordered as their type orders them.
  bool (*integers)(int64_t, int64_t);
  ScalarCode code;
  /// Two zeros compare false.
  bool zero_passes;
  /// Defined on booleans too.
  bool takes_bool = false;
  /// Of strings; null where it is not defined on them.
  bool (*strings)(const std::string&, const std::string&) = nullptr;
};

Room comparison_room(ComparisonOp op);

}  // namespace espalier::ops

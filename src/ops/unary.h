// Rooms of unary pointwise operators without attributes, from the little that distinguishes them.
#pragma once

#include <cmath>
#include <optional>

#include "ops/common.h"

namespace espalier::ops {

/// What a unary pointwise operator is.
struct UnaryOp {
  OpName onnx;
  /// The function in both precisions: `{apply, apply}` of a template.
  struct {
    float (*f32)(float) = nullptr;
    double (*f64)(double) = nullptr;
  } apply;
  /// The function on integers, which then are accepted; null: floats only.
  int64_t (*integers)(int64_t x, bool is_unsigned) = nullptr;
  /// dx; null where it is zero almost everywhere.
  ValueId (*gradient)(Builder&, const Tape&) = nullptr;
  double flops = 1;
  /// f(0) = 0.
  bool zero_passes = true;
  std::optional<ScalarCode> pointwise;
  /// Whether an 8-bit form is worth having: bounded slope and range, as activations have.
  bool quantizes = false;
  /// Where samples are drawn, and where the function is not differentiable.
  double lo = -2, hi = 2;
  std::vector<double> kinks = {};
  /// The function of x0 in C where `pointwise` names none: "tan~(x0)" (see CWriter::map).
  const char* c = nullptr;
};

Room unary_room(UnaryOp op);

}  // namespace espalier::ops

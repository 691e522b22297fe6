// Scalar functions by code: the vocabulary shared by pointwise rooms (which name their function)
// and the fused pointwise kernels (which evaluate chains of them on f32 lanes).
#pragma once

#include <cstdint>

namespace espalier {

enum class ScalarCode : uint8_t {
  // one operand
  kIdentity,
  kNeg,
  kAbs,
  kSqrt,
  kReciprocal,
  kExp,
  kLog,
  kErf,
  kTanh,
  kSigmoid,
  kRelu,
  kLeakyRelu,    ///< p0 = slope for x < 0
  kClip,         ///< p0 = lower, p1 = upper
  kHardSigmoid,  ///< max(0, min(1, p0 x + p1))
  kHardSwish,
  kGelu,
  kGeluTanh,
  kGeluSlope,  ///< d Gelu(x) / dx
  kGeluTanhSlope,
  kSoftplus,
  kSilu,
  kFloor,
  kCeil,
  kRound,
  kSign,
  kSin,
  kCos,
  kElu,     ///< p0 = alpha
  kAffine,  ///< p0 x + p1
  // two operands
  kAdd,
  kSub,
  kMul,
  kDiv,
  kMin,
  kMax,
  kPow,
  kPRelu,
  // comparisons give 1 or 0
  kEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  // three operands: x0 != 0 ? x1 : x2
  kWhere,
};

struct ScalarOp {
  ScalarCode code = ScalarCode::kIdentity;
  float p0 = 0, p1 = 0;
  bool operator==(const ScalarOp&) const = default;
};

/// The function in double: what kernels that evaluate it are tested against.
double evaluate(const ScalarOp& op, double x0, double x1 = 0, double x2 = 0);

constexpr int operands_of(ScalarCode c) {
  return c == ScalarCode::kWhere ? 3 : c >= ScalarCode::kAdd ? 2 : 1;
}

}  // namespace espalier

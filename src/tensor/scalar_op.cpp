#include "tensor/scalar_op.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace espalier {
namespace {

// NaN wins over numbers.
double minimum(double a, double b) { return b != b || b < a ? b : a; }
double maximum(double a, double b) { return b != b || b > a ? b : a; }

double sigmoid(double x) {
  const double e = std::exp(-std::abs(x));
  return (x < 0 ? e : 1) / (1 + e);
}

double gelu_tanh(double x) {
  const double u = std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
  return x / 2 * (1 + std::tanh(u));
}

// Far from zero the density, which infinity may not be multiplied by, is nothing.
double gelu_slope(double x) {
  const double density =
      std::abs(x) < 40 ? x * std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi) : 0;
  return (1 + std::erf(x / std::numbers::sqrt2)) / 2 + density;
}

double gelu_tanh_slope(double x) {
  if (std::abs(x) > 40) return x > 0;
  const double c = std::sqrt(2 / std::numbers::pi), t = std::tanh(c * (x + 0.044715 * x * x * x));
  return (1 + t) / 2 + x / 2 * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x);
}

double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

double sign(double x) { return x > 0 ? 1 : x < 0 ? -1 : x; }

}  // namespace

double evaluate(const ScalarOp& op, double x, double x1, double x2) {
  switch (op.code) {
    case ScalarCode::kIdentity: return x;
    case ScalarCode::kNeg: return -x;
    case ScalarCode::kAbs: return std::abs(x);
    case ScalarCode::kSqrt: return std::sqrt(x);
    case ScalarCode::kReciprocal: return 1 / x;
    case ScalarCode::kExp: return std::exp(x);
    case ScalarCode::kLog: return std::log(x);
    case ScalarCode::kErf: return std::erf(x);
    case ScalarCode::kTanh: return std::tanh(x);
    case ScalarCode::kSigmoid: return sigmoid(x);
    case ScalarCode::kRelu: return x < 0 ? 0 : x;
    case ScalarCode::kLeakyRelu: return x < 0 ? double(op.p0) * x : x;
    case ScalarCode::kClip: return minimum(maximum(x, op.p0), op.p1);
    case ScalarCode::kHardSigmoid: return std::clamp(double(op.p0) * x + double(op.p1), 0.0, 1.0);
    case ScalarCode::kHardSwish: return x * std::clamp(x / 6 + 0.5, 0.0, 1.0);
    case ScalarCode::kGelu: return x / 2 * (1 + std::erf(x / std::numbers::sqrt2));
    case ScalarCode::kGeluTanh: return gelu_tanh(x);
    case ScalarCode::kGeluSlope: return gelu_slope(x);
    case ScalarCode::kGeluTanhSlope: return gelu_tanh_slope(x);
    case ScalarCode::kSoftplus: return softplus(x);
    case ScalarCode::kSilu: return x * sigmoid(x);
    case ScalarCode::kFloor: return std::floor(x);
    case ScalarCode::kCeil: return std::ceil(x);
    case ScalarCode::kRound: return std::nearbyint(x);
    case ScalarCode::kSign: return sign(x);
    case ScalarCode::kSin: return std::sin(x);
    case ScalarCode::kCos: return std::cos(x);
    case ScalarCode::kElu: return x < 0 ? double(op.p0) * std::expm1(x) : x;
    case ScalarCode::kAffine: return double(op.p0) * x + double(op.p1);
    case ScalarCode::kAdd: return x + x1;
    case ScalarCode::kSub: return x - x1;
    case ScalarCode::kMul: return x * x1;
    case ScalarCode::kDiv: return x / x1;
    case ScalarCode::kMin: return minimum(x, x1);
    case ScalarCode::kMax: return maximum(x, x1);
    case ScalarCode::kPow: return std::pow(x, x1);
    case ScalarCode::kPRelu: return x < 0 ? x1 * x : x;
    case ScalarCode::kEqual: return x == x1;
    case ScalarCode::kLess: return x < x1;
    case ScalarCode::kLessEqual: return x <= x1;
    case ScalarCode::kGreater: return x > x1;
    case ScalarCode::kGreaterEqual: return x >= x1;
    case ScalarCode::kWhere: return x != 0 ? x1 : x2;
  }
  return x;
}

}  // namespace espalier

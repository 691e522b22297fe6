// Numbers, types and scalar functions as C99 text.
#include <cmath>
#include <cstdio>
#include <limits>

#include "base/error.h"
#include "ir/c_writer.h"

namespace espalier {
namespace {

bool is_small(DType t) { return size_of(t) < 4; }
bool is_unsigned(DType t) { return is_unsigned_int(t) || t == DType::boolean; }

/// Integer arithmetic that wraps: done on unsigned numbers of at least 32 bits.
std::string wrapping(DType t, const std::string& a, const char* op, const std::string& b) {
  const std::string wide = is_small(t) || size_of(t) == 4 ? "(uint32_t)" : "(uint64_t)";
  return "(" + c_type(t) + ")(" + wide + a + " " + op + " " + wide + b + ")";
}

std::optional<std::string> on_integers(const ScalarOp& op, DType t, const std::string& x,
                                       const std::string& y, const std::string& z) {
  const bool positive = is_unsigned(t);
  switch (op.code) {
    case ScalarCode::kIdentity: return x;
    case ScalarCode::kNeg: return wrapping(t, "0", "-", x);
    case ScalarCode::kAbs:
      return positive ? x : x + " < 0 ? " + wrapping(t, "0", "-", x) + " : " + x;
    case ScalarCode::kSign: return positive ? x + " > 0" : "(" + x + " > 0) - (" + x + " < 0)";
    case ScalarCode::kRelu: return positive ? x : x + " < 0 ? 0 : " + x;
    case ScalarCode::kAdd: return wrapping(t, x, "+", y);
    case ScalarCode::kSub: return wrapping(t, x, "-", y);
    case ScalarCode::kMul: return wrapping(t, x, "*", y);
    case ScalarCode::kDiv:
      return y +
             " == 0 ? 0 : " + (positive ? "" : y + " == -1 ? " + wrapping(t, "0", "-", x) + " : ") +
             x + " / " + y;
    case ScalarCode::kMin: return y + " < " + x + " ? " + y + " : " + x;
    case ScalarCode::kMax: return y + " > " + x + " ? " + y + " : " + x;
    default: break;
  }
  (void)z;
  return std::nullopt;
}

/// What the tanh form of GELU adds to one, and halves.
std::string gelu_tangent(const std::string& x, DType t) {
  return "tanh~(" + c_literal(std::sqrt(M_2_PI), t) + " * (" + x + " + " + c_literal(0.044715, t) +
         " * " + x + " * " + x + " * " + x + "))";
}

/// Of floats; `~` stands for the suffix.
std::string on_floats(const ScalarOp& op, DType t, const std::string& x, const std::string& y) {
  const std::string p0 = c_literal(double(op.p0), t), p1 = c_literal(double(op.p1), t);
  const std::string zero = c_literal(0.0, t);
  switch (op.code) {
    case ScalarCode::kNeg: return "-" + x;
    case ScalarCode::kAbs: return "fabs~(" + x + ")";
    case ScalarCode::kSqrt: return "sqrt~(" + x + ")";
    case ScalarCode::kReciprocal: return "1.0~ / " + x;
    case ScalarCode::kExp: return "exp~(" + x + ")";
    case ScalarCode::kLog: return "log~(" + x + ")";
    case ScalarCode::kErf: return "erf~(" + x + ")";
    case ScalarCode::kTanh: return "tanh~(" + x + ")";
    case ScalarCode::kSigmoid: return "1.0~ / (1.0~ + exp~(-" + x + "))";
    case ScalarCode::kRelu: return x + " < " + zero + " ? " + zero + " : " + x;
    case ScalarCode::kLeakyRelu: return x + " < " + zero + " ? " + p0 + " * " + x + " : " + x;
    case ScalarCode::kClip:
      return x + " < " + p0 + " ? " + p0 + " : " + x + " > " + p1 + " ? " + p1 + " : " + x;
    case ScalarCode::kHardSigmoid:
      return "fmin~(fmax~(" + p0 + " * " + x + " + " + p1 + ", 0.0~), 1.0~)";
    case ScalarCode::kHardSwish: return x + " * fmin~(fmax~(" + x + " / 6.0~ + 0.5~, 0.0~), 1.0~)";
    case ScalarCode::kGelu:
      return "0.5~ * " + x + " * (1.0~ + erf~(" + x + " * " + c_literal(M_SQRT1_2, t) + "))";
    case ScalarCode::kGeluTanh: return "0.5~ * " + x + " * (1.0~ + " + gelu_tangent(x, t) + ")";
    case ScalarCode::kGeluSlope:
      return "0.5~ * (1.0~ + erf~(" + x + " * " + c_literal(M_SQRT1_2, t) + ")) + " +
             c_literal(std::sqrt(M_2_PI) / 2, t) + " * " + x + " * exp~(-0.5~ * " + x + " * " + x +
             ")";
    case ScalarCode::kGeluTanhSlope: {
      const std::string tangent = gelu_tangent(x, t);
      return "0.5~ * (1.0~ + " + tangent + ") * (1.0~ + " + x + " * (1.0~ - " + tangent + ") * " +
             c_literal(std::sqrt(M_2_PI), t) + " * (1.0~ + " + c_literal(3 * 0.044715, t) + " * " +
             x + " * " + x + "))";
    }
    case ScalarCode::kSoftplus: return "fmax~(" + x + ", 0.0~) + log1p~(exp~(-fabs~(" + x + ")))";
    case ScalarCode::kSilu: return x + " / (1.0~ + exp~(-" + x + "))";
    case ScalarCode::kFloor: return "floor~(" + x + ")";
    case ScalarCode::kCeil: return "ceil~(" + x + ")";
    case ScalarCode::kRound: return "nearbyint~(" + x + ")";
    case ScalarCode::kSign:
      return x + " > " + zero + " ? 1.0~ : " + x + " < " + zero + " ? -1.0~ : " + x;
    case ScalarCode::kSin: return "sin~(" + x + ")";
    case ScalarCode::kCos: return "cos~(" + x + ")";
    case ScalarCode::kElu: return x + " < " + zero + " ? " + p0 + " * expm1~(" + x + ") : " + x;
    case ScalarCode::kAffine: return p0 + " * " + x + " + " + p1;
    case ScalarCode::kAdd: return x + " + " + y;
    case ScalarCode::kSub: return x + " - " + y;
    case ScalarCode::kMul: return x + " * " + y;
    case ScalarCode::kDiv: return x + " / " + y;
    // NaN wins over numbers.
    case ScalarCode::kMin: return y + " != " + y + " || " + y + " < " + x + " ? " + y + " : " + x;
    case ScalarCode::kMax: return y + " != " + y + " || " + y + " > " + x + " ? " + y + " : " + x;
    case ScalarCode::kPow: return "pow~(" + x + ", " + y + ")";
    case ScalarCode::kPRelu: return x + " < " + zero + " ? " + y + " * " + x + " : " + x;
    default: return x;
  }
}

}  // namespace

bool has_c_type(DType t) { return t != DType::f16 && t != DType::bf16 && t != DType::string; }

std::string c_type(DType t) {
  switch (t) {
    case DType::f64: return "double";
    case DType::f32: return "float";
    case DType::i64: return "int64_t";
    case DType::i32: return "int32_t";
    case DType::i16: return "int16_t";
    case DType::i8: return "int8_t";
    case DType::u64: return "uint64_t";
    case DType::u32: return "uint32_t";
    case DType::u16: return "uint16_t";
    case DType::u8:
    case DType::boolean: return "uint8_t";
    default: throw unsupported("C code", "has no type for " + std::string(name_of(t)));
  }
}

std::string c_literal(double value, DType t) {
  if (!is_float(t)) return c_literal(int64_t(value), t);
  if (std::isnan(value)) return "NAN";
  if (std::isinf(value)) return value < 0 ? "(-INFINITY)" : "INFINITY";
  char text[48];
  std::snprintf(text, sizeof text, t == DType::f64 ? "%.17g" : "%.9g", value);
  std::string number = text;
  if (number.find_first_of(".e") == std::string::npos) number += ".0";
  if (t != DType::f64) number += "f";
  return number;
}

std::string c_literal(int64_t value, DType t) {
  if (is_float(t)) return c_literal(double(value), t);
  if (t == DType::u64) return std::to_string(uint64_t(value)) + "ull";
  if (t == DType::u32) return std::to_string(uint32_t(value)) + "u";
  if (t != DType::i64) {
    if (value == std::numeric_limits<int32_t>::min()) return "(-2147483647 - 1)";
    return std::to_string(value);
  }
  if (value == std::numeric_limits<int64_t>::min()) return "(-9223372036854775807ll - 1)";
  return std::to_string(value) + (value > INT32_MAX || value < -INT32_MAX ? "ll" : "");
}

std::string c_literal(const Tensor& values, int64_t i) {
  return is_float(values.dtype()) ? c_literal(values.at(i), values.dtype())
                                  : c_literal(values.int_at(i), values.dtype());
}

std::optional<std::string> c_expression(const ScalarOp& op, DType t, const std::string& x0,
                                        const std::string& x1, const std::string& x2) {
  const auto compare = [&](const char* sign) { return x0 + " " + sign + " " + x1; };
  switch (op.code) {
    case ScalarCode::kIdentity: return x0;
    case ScalarCode::kEqual: return compare("==");
    case ScalarCode::kLess: return compare("<");
    case ScalarCode::kLessEqual: return compare("<=");
    case ScalarCode::kGreater: return compare(">");
    case ScalarCode::kGreaterEqual: return compare(">=");
    case ScalarCode::kWhere: return x0 + " ? " + x1 + " : " + x2;
    default: break;
  }
  if (is_int(t)) return on_integers(op, t, x0, x1, x2);
  const DType real = t == DType::f64 ? DType::f64 : DType::f32;
  return with_suffix(on_floats(op, real, x0, x1), real);
}

std::string with_suffix(std::string text, DType t) {
  return replaced(std::move(text), "~", t == DType::f64 ? "" : "f");
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size())
    text.replace(at, what.size(), by);
  return text;
}

}  // namespace espalier

// Operators that work element by element, and those that normalise.
#include <algorithm>
#include <array>

#include "tflite/operator.h"

namespace espalier::tflite {
namespace {

enum Code {
  kAdd = 0,
  kMul = 18,
  kSub = 41,
  kDiv = 42,
  kPRelu = 54,
  kNotEqual = 72,
  kLogSoftmax = 50,
  kFloorDiv = 90,
  kFloorMod = 95,
  kSquaredDifference = 99,
  kReluN1 = 20,
  kRelu6 = 21,
  kRsqrt = 76,
  kSquare = 92,
  kLeakyRelu = 98,
  kGelu = 150,
  kRelu01 = 152,
};

struct Named {
  int code;
  const char* name;
};

// What is one operator of ours.
constexpr std::array kUnary = {
    Named{8, "Floor"},  Named{14, "Sigmoid"}, Named{19, "Relu"},   Named{28, "Tanh"},
    Named{47, "Exp"},   Named{59, "Neg"},     Named{66, "Sin"},    Named{73, "Log"},
    Named{75, "Sqrt"},  Named{87, "Not"},     Named{101, "Abs"},   Named{104, "Ceil"},
    Named{108, "Cos"},  Named{111, "Elu"},    Named{116, "Round"}, Named{117, "HardSwish"},
    Named{158, "Sign"},
};
constexpr std::array kBinary = {
    Named{kAdd, "Add"},       Named{kMul, "Mul"},
    Named{kSub, "Sub"},       Named{kDiv, "Div"},
    Named{kPRelu, "PRelu"},   Named{55, "Max"},
    Named{57, "Min"},         Named{58, "Less"},
    Named{61, "Greater"},     Named{62, "GreaterOrEqual"},
    Named{63, "LessOrEqual"}, Named{71, "Equal"},
    Named{78, "Pow"},         Named{84, "Or"},
    Named{86, "And"},
};

template <size_t N>
const char* name_in(const std::array<Named, N>& list, int code) {
  for (const Named& n : list)
    if (n.code == code) return n.name;
  return nullptr;
}

ValueId unary_result(const Operator& o, ValueId x) {
  Lowering& l = o.l;
  if (const char* name = name_in(kUnary, o.info.code)) return l.op(name, {x});
  const auto clipped = [&](double low, double high) {
    return l.op("Clip", {x, l.b().scalar(low, x), l.b().scalar(high, x)});
  };
  switch (o.info.code) {
    case kReluN1: return clipped(-1, 1);
    case kRelu6: return clipped(0, 6);
    case kRelu01: return clipped(0, 1);
    case kRsqrt: return l.op("Reciprocal", {l.op("Sqrt", {x})});
    case kSquare: return l.op("Mul", {x, x});
    case kLeakyRelu: return l.op("LeakyRelu", {x}, {{"alpha", o.options().scalar<float>(0, 0)}});
    case kGelu:
      return l.op("Gelu", {x},
                  {{"approximate", std::string(o.options().boolean(0) ? "tanh" : "none")}});
    default: break;
  }
  ESP_CHECK(false, "an operator of one operand is not listed");
}

ValueId binary_result(const Operator& o, ValueId a, ValueId b) {
  Lowering& l = o.l;
  if (const char* name = name_in(kBinary, o.info.code)) return l.op(name, {a, b});
  const bool real = is_float(l.b().type(a).dtype);
  switch (o.info.code) {
    case kNotEqual: return l.op("Not", {l.op("Equal", {a, b})});
    case kSquaredDifference: {
      const ValueId d = l.op("Sub", {a, b});
      return l.op("Mul", {d, d});
    }
    case kFloorDiv:
      if (real) return l.op("Floor", {l.op("Div", {a, b})});
      return l.op("Div", {l.op("Sub", {a, l.op("Mod", {a, b})}), b});
    case kFloorMod:
      if (!real) return l.op("Mod", {a, b});
      return l.op("Sub", {a, l.op("Mul", {l.op("Floor", {l.op("Div", {a, b})}), b})});
    default: break;
  }
  ESP_CHECK(false, "an operator of two operands is not listed");
}

/// The activation field of the operators that have one.
int activation_of(const Operator& o) {
  const int code = o.info.code;
  const bool carries = code == kAdd || code == kMul || code == kSub || code == kDiv;
  return carries ? o.options().scalar<int8_t>(0, 0) : 0;
}

}  // namespace

void unary(const Operator& o) {
  const Form form = o.l.native(o.in(0));
  o.l.set_real(o.out(), unary_result(o, o.l.real(o.in(0), form)), form);
}

void binary(const Operator& o) {
  Lowering& l = o.l;
  const int32_t operands[] = {o.in(0), o.in(1)};
  const Form form = common_form(l, operands);
  const ValueId a = broadcastable(l, operands[0], form, true);
  const ValueId b = broadcastable(l, operands[1], form, true);
  l.set_real(o.out(), activated(o, binary_result(o, a, b), activation_of(o)), form);
}

void add_n(const Operator& o) {
  Lowering& l = o.l;
  const Form form = common_form(l, o.info.inputs);
  Values operands;
  for (size_t i = 0; i < o.operands(); ++i)
    operands.push_back(broadcastable(l, o.in(i), form, true));
  l.set_real(o.out(), l.op("Sum", operands), form);
}

// Picks by a condition: elements, or (the older form) whole slices of the first axis.
void select(const Operator& o) {
  constexpr int kSelect = 64;
  Lowering& l = o.l;
  const int32_t operands[] = {o.in(0), o.in(1), o.in(2)};
  if (o.info.code == kSelect && l.rank(operands[0]) == 1 && l.rank(operands[1]) > 1)
    o.refuse("picks slices by a list of conditions");
  const Form form = common_form(l, operands);
  const ValueId y = l.op("Where", {broadcastable(l, operands[0], form, false),
                                   broadcastable(l, operands[1], form, true),
                                   broadcastable(l, operands[2], form, true)});
  l.set_real(o.out(), y, form);
}

namespace {

/// Integers of one scale as 32-bit integers of another: more digits than f32 has.
ValueId widened(const Operator& o, ValueId x) {
  Lowering& l = o.l;
  const Quantization &from = *l.info(o.in(0)).quantization, &to = *l.info(o.out()).quantization;
  if (from.scales.size() != 1 || to.scales.size() != 1) o.refuse("changes several scales");
  const ValueId real = l.b().cast(x, DType::f64);
  const auto number = [&](double v) { return l.b().constant(Tensor::scalar(v)); };
  const double ratio = double(from.scales[0]) / double(to.scales[0]);
  const ValueId shifted = l.op("Sub", {real, number(double(from.zero_points[0]))});
  const ValueId scaled = l.op("Round", {l.op("Mul", {shifted, number(ratio)})});
  const ValueId moved = l.op("Add", {scaled, number(double(to.zero_points[0]))});
  return l.b().cast(moved, DType::i32);
}

}  // namespace

// QUANTIZE and DEQUANTIZE: the same numbers, stored otherwise.
void convert(const Operator& o) {
  Lowering& l = o.l;
  const Form form = l.native(o.in(0));
  const bool wide = element_type(l.info(o.out()).type, o.where) == DType::i32;
  if (wide && l.quantised(o.in(0)) && l.quantised(o.out()))
    return l.set_stored(o.out(), widened(o, l.stored(o.in(0), form)), form);
  l.set_real(o.out(), l.real(o.in(0), form), form);
}

void cast(const Operator& o) {
  Lowering& l = o.l;
  const Form form = l.native(o.in(0));
  const DType to = element_type(l.info(o.out()).type, o.where);
  if (to == DType::string) o.refuse("makes strings");
  const ValueId x = l.stored(o.in(0), form);
  const ValueId y = l.cast_to(x, to);
  l.set_stored(o.out(), y, form);
}

// Along the channels.
void softmax(const Operator& o) {
  Lowering& l = o.l;
  const Form form = l.native(o.in(0));
  ValueId x = l.real(o.in(0), form);
  const bool logarithm = o.info.code == kLogSoftmax;
  const float beta = logarithm ? 1 : o.options().scalar<float>(0, 1);
  if (beta != 1) x = l.op("Mul", {x, l.b().scalar(double(beta), x)});
  const int64_t axis = form == Form::kChannelsFirst ? 1 : -1;
  l.set_real(o.out(), l.op(logarithm ? "LogSoftmax" : "Softmax", {x}, {{"axis", axis}}), form);
}

// x / max(length along the channels, 1e-6).
void l2_normalization(const Operator& o) {
  Lowering& l = o.l;
  const Form form = l.native(o.in(0));
  const ValueId x = l.real(o.in(0), form);
  const int64_t axis = form == Form::kChannelsFirst ? 1 : -1;
  const ValueId sum = l.op("ReduceSum", {l.op("Mul", {x, x}), l.b().ints({axis})});
  const ValueId length = l.op("Max", {l.op("Sqrt", {sum}), l.b().scalar(1e-6, sum)});
  const ValueId y = l.op("Div", {x, length});
  l.set_real(o.out(), activated(o, y, o.options().scalar<int8_t>(0, 0)), form);
}

void local_response_normalization(const Operator& o) {
  Lowering& l = o.l;
  const FlatTable& f = o.options();
  const auto radius = f.scalar<int32_t>(0, 0);
  if (radius < 0 || radius > (1 << 20)) o.fail("has radius " + std::to_string(radius));
  const int64_t size = 2 * int64_t(radius) + 1;
  const ValueId x = l.real(o.in(0), Form::kChannelsFirst);
  const ValueId y = l.op("LRN", {x},
                         {{"size", size},
                          {"bias", f.scalar<float>(1, 0)},
                          {"alpha", f.scalar<float>(2, 0) * float(size)},
                          {"beta", f.scalar<float>(3, 0)}});
  l.set_real(o.out(), y, Form::kChannelsFirst);
}

void cumsum(const Operator& o) {
  Lowering& l = o.l;
  const auto axis = l.ints(o.in(1), "its axis");
  if (axis.size() != 1) o.fail("its axis is a list");
  const ValueId at = l.b().constant(Tensor::scalar<int64_t>(axis[0]));
  l.set_real(o.out(), l.op("CumSum", {l.real(o.in(0)), at},
                           {{"exclusive", int64_t{o.options().boolean(0)}},
                            {"reverse", int64_t{o.options().boolean(1)}}}));
}

}  // namespace espalier::tflite

// Cast, ONNX opset 13: the operand's values in element type `to`, numbers, booleans and strings.
// Floats become integers toward zero (saturating, NaN to 0); integers wrap; true is 1 and anything
// but 0 is true; numbers are written as text that reads back as themselves, and text must be a
// number of the type it becomes (tensor/text_numbers.h).
#include <cmath>

#include "ops/common.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

struct Cast {
  DType to = DType::f32;
};

Types infer(const Cast& a, const TypesIn& in) { return {TensorType(a.to, in[0].dims)}; }

template <class Real>
void reference(const Cast& a, Ref<Real>& r) {
  r.out_tensor(0) = r.tensor(0).cast(a.to);
}

// Rounding is taken for the identity: dx = dy in x's type. Integers carry no gradient.
Values gradient(const Cast&, Builder& b, const Tape& t) {
  if (!t.wants(0) || t.dy() == kNoValue) return {kNoValue};
  return {b.cast(t.dy(), t.type_x(0).dtype)};
}

Cost cost(const Cast&, const TypesIn& in, const Types& out) { return move_cost(in, out); }

// No string is zero.
AxisMap axes(const Cast& a, const TypesIn& in, const Types&) {
  return AxisMap::identity(in, a.to != DType::string && in[0].dtype != DType::string);
}

// On f32 lanes a boolean already is 1 or 0; other casts round or truncate.
std::optional<ScalarOp> pointwise(const Cast& a, const TypesIn& in) {
  const DType from = in[0].dtype;
  if (from == DType::string) return std::nullopt;
  if (from != a.to && !(from == DType::boolean && is_float(a.to))) return std::nullopt;
  return ScalarOp{ScalarCode::kIdentity};
}

void emit(const Cast& a, CWriter& c) {
  const DType from = c.dtype(0);
  if (from == a.to) return c.view(0, 0);
  if (a.to == DType::boolean) return c.map("x0 != 0");
  if (!is_float(from) || is_float(a.to)) return c.map("(" + c_type(a.to) + ")x0");
  // Saturating: 2^63 is the first float that i64 does not hold.
  const bool negative = is_signed_int(a.to);
  const int bits = int(size_of(a.to)) * 8 - negative;
  const std::string lowest = negative ? c_literal(-std::ldexp(1.0, bits), from) : "0";
  const std::string highest =
      a.to == DType::u64 ? "UINT64_MAX" : c_literal(int64_t((uint64_t{1} << bits) - 1), a.to);
  const std::string least = negative ? "-" + highest + " - 1" : "0";
  c.map("x0 != x0 ? 0 : x0 <= " + lowest + " ? " + least + " : x0 >= " +
        c_literal(std::ldexp(1.0, bits), from) + " ? " + highest + " : (" + c_type(a.to) + ")x0");
}

}  // namespace

const Room& cast() {
  static const Room room = make_room<Cast>({
      .onnx = {"Cast", 13},
      .arity = {1, 1},
      .attributes = {required("to", &Cast::to)},
      .infer = infer,
      .reference = ESP_REFERENCE(Cast, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = Refuse{"it names the element type of its result"},
      .pointwise = pointwise,
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{DType::f64}, {OperandSpec::of({2, 3})}},
                  {{DType::i32}, {OperandSpec::ranged({2, 3}, -9, 9)}},
                  {{DType::u8}, {OperandSpec::ranged({7}, -300, 300, DType::i64)}},
                  {{DType::f16}, {OperandSpec::ranged({7}, -300, 300, DType::i32)}},
                  {{DType::boolean}, {OperandSpec::ranged({7}, -1, 1, DType::i8)}},
                  {{DType::f32}, {OperandSpec::ranged({0, 2}, 0, 1, DType::boolean)}},
                  {{DType::string}, {OperandSpec::ranged({3}, -9, 9, DType::i32)}},
                  {{DType::f32},
                   {OperandSpec::fixed(Tensor::from<std::string>({2}, {"-0.5", "1e3"}))}}},
  });
  return room;
}

}  // namespace espalier::ops

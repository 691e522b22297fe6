// MatMulInteger, ONNX opset 10: (a - a_zero_point) (b - b_zero_point) of 8-bit integers in i32.
// Zero points are numbers or lists along the rows of a and the columns of b.
#include "ops/emit.h"
#include "ops/quantization/integer.h"
#include "ops/quantization/integer_c.h"

namespace espalier::ops {
namespace {

Values expand(const NoAttributes&, Builder& b, const Values& in) {
  const ValueId x = centred(b, in[0], operand(in, 2), -2, "MatMulInteger");
  const ValueId w = centred(b, in[1], operand(in, 3), -1, "MatMulInteger");
  return {b.cast(b.matmul(x, w), DType::i32)};
}

AxisMap axes(const NoAttributes&, const TypesIn&, const Types&) { return {}; }

void emit(const NoAttributes&, CWriter& c) {
  emit_byte_matmul(c, 0, 2, 1, 3,
                   [&](const std::string& at, const std::string& sum, const std::string&) {
                     c.store(0, at, sum);
                   });
}

}  // namespace

const Room& matmul_integer() {
  const auto u8 = [](Shape s) { return OperandSpec::ranged(std::move(s), 0, 255, DType::u8); };
  const auto i8 = [](Shape s) { return OperandSpec::ranged(std::move(s), -128, 127, DType::i8); };
  static const Room room = make_room<NoAttributes>({
      .onnx = {"MatMulInteger", 10},
      .arity = {2, 4},
      .infer = Derive{},
      .reference = Derive{},
      .gradient = integers_have_no_gradient(),
      .cost = Derive{},
      .axes = axes,
      .quantize = is_integer_form(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = emit,
      .samples = {{{}, {u8({3, 4}), i8({4, 2}), u8({}), i8({2})}},
                  {{}, {i8({2, 3, 4}), i8({4, 2})}},
                  {{}, {u8({3, 4}), u8({4, 2}), u8({3})}}},
  });
  return room;
}

}  // namespace espalier::ops

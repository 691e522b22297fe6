// QLinearMatMul, ONNX opset 10: operands a, a_scale, a_zero_point, b, b_scale, b_zero_point,
// y_scale, y_zero_point; the product of the dequantised matrices, quantised.
#include "ops/emit.h"
#include "ops/quantization/integer.h"
#include "ops/quantization/integer_c.h"

namespace espalier::ops {
namespace {

Values expand(const NoAttributes&, Builder& b, const Values& in) {
  const ValueId x = centred(b, in[0], in[2], -2, "QLinearMatMul");
  const ValueId w = centred(b, in[3], in[5], -1, "QLinearMatMul");
  const ValueId scale =
      b.mul(along(b, in[1], -2, b.type(in[0]).rank()), along(b, in[4], -1, b.type(in[3]).rank()));
  return {requantized(b, b.matmul(x, w), scale, in[6], in[7])};
}

AxisMap axes(const NoAttributes&, const TypesIn&, const Types&) { return {}; }

void emit(const NoAttributes&, CWriter& c) {
  if (c.size(1) != 1) c.refuse("its rows have scales of their own");
  emit_byte_matmul(c, 0, 2, 3, 5,
                   [&](const std::string& at, const std::string& sum, const std::string& column) {
                     store_requantised(c, at, sum, {1, 4}, column, 6, 7);
                   });
}

}  // namespace

const Room& qlinear_matmul() {
  const auto u8 = [](Shape s) { return OperandSpec::ranged(std::move(s), 0, 255, DType::u8); };
  const auto i8 = [](Shape s) { return OperandSpec::ranged(std::move(s), -128, 127, DType::i8); };
  const auto scale = [](float s) { return OperandSpec::fixed(Tensor::scalar(s)); };
  static const Room room = make_room<NoAttributes>({
      .onnx = {"QLinearMatMul", 10},
      .arity = {8, 8},
      .infer = Derive{},
      .reference = Derive{},
      .gradient = integers_have_no_gradient(),
      .cost = Derive{},
      .axes = axes,
      .quantize = is_integer_form(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = emit,
      .samples = {{{},
                   {u8({3, 4}), scale(0.01f), u8({}), i8({4, 2}), scale(0.02f), i8({}), scale(0.1f),
                    u8({})}},
                  {{},
                   {i8({2, 3, 4}), scale(0.01f), i8({}), i8({4, 2}),
                    OperandSpec::ranged({2}, 0.01, 0.02), i8({2}), scale(0.1f), i8({})}}},
  });
  return room;
}

}  // namespace espalier::ops

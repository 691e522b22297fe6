// QLinearConv, ONNX opset 10: operands x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale,
// y_zero_point, bias (i32 at scale x_scale * w_scale); the convolution of the dequantised operands,
// quantised. The weight's scale and zero point may be lists over output channels.
#include "ops/emit.h"
#include "ops/quantization/integer_c.h"
#include "ops/quantization/integer_conv.h"

namespace espalier::ops {
namespace {

Values expand(const IntegerConv& a, Builder& b, const Values& in) {
  const ValueId x = centred(b, in[0], in[2], 1, "QLinearConv");
  const ValueId w = centred(b, in[3], in[5], 0, "QLinearConv");
  ValueId bias = operand(in, 8);
  if (bias != kNoValue) bias = b.cast(bias, DType::f64);
  const ValueId scale = b.mul(b.cast(in[1], DType::f64), along(b, in[4], 1, b.type(in[0]).rank()));
  return {requantized(b, convolved(a, b, x, w, bias), scale, in[6], in[7])};
}

AxisMap axes(const IntegerConv&, const TypesIn&, const Types&) { return {}; }

void emit(const IntegerConv& a, CWriter& c) {
  emit_integer_conv(
      c, plain_conv(a), c.shape(0), c.shape(3), bytes_in_c(c, 0, 2), weights_in_c(c, 3, 5, 0),
      [&](const std::string& at, const std::string& sum, const std::string& channel) {
        const std::string biased = c.has(8) ? "(" + sum + " + " + c.load(8, channel) + ")" : sum;
        store_requantised(c, at, biased, {1, 4}, channel, 6, 7);
      });
}

}  // namespace

const Room& qlinear_conv() {
  const auto u8 = [](Shape s) { return OperandSpec::ranged(std::move(s), 0, 255, DType::u8); };
  const auto i8 = [](Shape s) { return OperandSpec::ranged(std::move(s), -128, 127, DType::i8); };
  const auto scale = [](float s) { return OperandSpec::fixed(Tensor::scalar(s)); };
  static const Room room = make_room<IntegerConv>({
      .onnx = {"QLinearConv", 10},
      .arity = {8, 9},
      .attributes = integer_conv_fields(),
      .infer = Derive{},
      .reference = Derive{},
      .gradient = integers_have_no_gradient(),
      .cost = Derive{},
      .axes = axes,
      .quantize = is_integer_form(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = emit,
      .samples = {{{.pads = {1, 1, 1, 1}},
                   {u8({1, 2, 4, 4}), scale(0.01f), u8({}), i8({3, 2, 3, 3}),
                    OperandSpec::ranged({3}, 0.01, 0.02), i8({3}), scale(0.2f), u8({}),
                    OperandSpec::ranged({3}, -500, 500, DType::i32)}},
                  {{},
                   {u8({1, 1, 3, 3}), scale(0.01f), u8({}), u8({1, 1, 2, 2}), scale(0.01f), u8({}),
                    scale(0.1f), u8({})}}},
  });
  return room;
}

}  // namespace espalier::ops

// ConvInteger, ONNX opset 10: the convolution of 8-bit integers less their zero points in i32. The
// weight's zero point may be a list over output channels.
#include "ops/emit.h"
#include "ops/quantization/integer_c.h"
#include "ops/quantization/integer_conv.h"

namespace espalier::ops {
namespace {

Values expand(const IntegerConv& a, Builder& b, const Values& in) {
  const ValueId x = centred(b, in[0], operand(in, 2), 1, "ConvInteger");
  const ValueId w = centred(b, in[1], operand(in, 3), 0, "ConvInteger");
  return {b.cast(convolved(a, b, x, w, kNoValue), DType::i32)};
}

AxisMap axes(const IntegerConv&, const TypesIn&, const Types&) { return {}; }

void emit(const IntegerConv& a, CWriter& c) {
  emit_integer_conv(c, plain_conv(a), c.shape(0), c.shape(1), bytes_in_c(c, 0, 2),
                    weights_in_c(c, 1, 3, 0),
                    [&](const std::string& at, const std::string& sum, const std::string&) {
                      c.store(0, at, sum);
                    });
}

}  // namespace

const Room& conv_integer() {
  const auto u8 = [](Shape s) { return OperandSpec::ranged(std::move(s), 0, 255, DType::u8); };
  const auto i8 = [](Shape s) { return OperandSpec::ranged(std::move(s), -128, 127, DType::i8); };
  static const Room room = make_room<IntegerConv>({
      .onnx = {"ConvInteger", 10},
      .arity = {2, 4},
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
      .samples = {{{.pads = {1, 1, 1, 1}}, {u8({1, 2, 4, 4}), i8({3, 2, 3, 3}), u8({}), i8({3})}},
                  {{}, {u8({1, 1, 3, 3}), u8({1, 1, 2, 2})}}},
  });
  return room;
}

}  // namespace espalier::ops

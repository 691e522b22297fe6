// DynamicQuantizeLinear, ONNX opset 11: quantises to u8 with the scale and zero point that the
// operand's own range, widened to hold 0, asks for. Results: y, scale, zero point. A range of 0 has
// scale 1.
#include "ops/emit.h"
#include "ops/quantization/linear.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) {
  require_float(in, 0);
  return {TensorType(DType::u8, in[0].dims), TensorType(in[0].dtype, Dims{}),
          TensorType(DType::u8, Dims{})};
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  const auto x = r.real(0);
  Real lowest = 0, highest = 0;
  for (Real v : x) {
    lowest = std::min(lowest, v);
    highest = std::max(highest, v);
  }
  const Real scale = highest > lowest ? (highest - lowest) / 255 : Real(1);
  const int64_t zero = quantized(double(-lowest / scale), 0, DType::u8);
  for (size_t i = 0; i < x.size(); ++i)
    r.out_ints(0)[i] = quantized(double(x[i] / scale), zero, DType::u8);
  r.out_real(1)[0] = scale;
  r.out_ints(2)[0] = zero;
}

Cost cost(const NoAttributes&, const TypesIn& in, const Types& out) { return map_cost(5, in, out); }

AxisMap axes(const NoAttributes&, const TypesIn&, const Types&) { return {}; }

void emit(const NoAttributes&, CWriter& c) {
  require_f32(c);
  c.need("quantise.h");
  c.line("float lowest = 0, highest = 0;");
  const CWalk flat{0, {1}};
  c.nest({c.size(0)}, {flat}, [&](const std::vector<std::string>& at) {
    const std::string x = c.load(0, at[0]);
    c.line("if (" + x + " < lowest) lowest = " + x + ";");
    c.line("if (" + x + " > highest) highest = " + x + ";");
  });
  c.line("const float scale = highest > lowest ? (highest - lowest) / 255 : 1;");
  c.line("const int32_t zero = esp_quantise(-lowest / scale, 0, 0, 255);");
  c.nest({c.size(0)}, {flat}, [&](const std::vector<std::string>& at) {
    c.store(0, at[0], "(uint8_t)esp_quantise(" + c.load(0, at[0]) + " / scale, zero, 0, 255)");
  });
  c.store(1, "0", "scale");
  c.store(2, "0", "(uint8_t)zero");
}

}  // namespace

const Room& dynamic_quantize_linear() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"DynamicQuantizeLinear", 11},
      .arity = {1, 1, 3, 3},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = Refuse{"rounds, so its derivative is zero almost everywhere"},
      .cost = cost,
      .axes = axes,
      .quantize = Refuse{"changes into integers itself"},
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::of({3, 4})}},
                  {{}, {OperandSpec::ranged({5}, 1, 3)}},
                  {{}, {OperandSpec::fixed(Tensor(DType::f32, {2}))}}},
  });
  return room;
}

}  // namespace espalier::ops

// DynamicQuantizeLinear, ONNX opset 11: quantises to u8 with the scale and zero point that the
// operand's own range, widened to hold 0, asks for. Results: y, scale, zero point. A range of 0 has
// scale 1.
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
      .samples = {{{}, {OperandSpec::of({3, 4})}},
                  {{}, {OperandSpec::ranged({5}, 1, 3)}},
                  {{}, {OperandSpec::fixed(Tensor(DType::f32, {2}))}}},
  });
  return room;
}

}  // namespace espalier::ops

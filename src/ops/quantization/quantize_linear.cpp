// QuantizeLinear, ONNX opset 21: y = saturate(round(x / scale) + zero_point), rounding half to
// even, with one scale, one along an axis, or one for each block of it. The zero point's type is
// the result's, u8 without one.
#include "ops/emit.h"
#include "ops/quantization/linear.h"

namespace espalier::ops {
namespace {

Types infer(const LinearQuant& a, const TypesIn& in) {
  if (!is_float(in[0].dtype) && in[0].dtype != DType::i32)
    in.fail("cannot quantise " + to_string(in[0]), "a float tensor is needed");
  check_scales(a, in);
  const DType to = in.has(2) ? in[2].dtype : DType::u8;
  if (!is_quantized(to)) in.fail("cannot quantise to " + std::string(name_of(to)));
  return {TensorType(to, in[0].dims)};
}

template <class Real>
void reference(const LinearQuant& a, Ref<Real>& r) {
  const auto scale = r.real(1);
  const auto y = r.out_ints(0);
  const bool per_axis = scale.size() != 1;
  const auto run = [&](auto x) {
    for_each_scaled(a, r.shape(0), int64_t(scale.size()), per_axis, [&](size_t i, size_t s) {
      const int64_t zero = r.has(2) ? r.ints(2)[s] : 0;
      y[i] = quantized(double(Real(x[i]) / scale[s]), zero, r.out_dtype(0));
    });
  };
  if (r.is_real(0))
    run(r.real(0));
  else
    run(r.ints(0));
}

Cost cost(const LinearQuant&, const TypesIn& in, const Types& out) { return map_cost(3, in, out); }

void emit(const LinearQuant& a, CWriter& c) {
  if (c.dtype(0) == DType::f64) c.refuse("it quantises f32");
  c.need("quantise.h");
  const auto limits = limits_of(c.out_dtype(0));
  emit_scaled(a, c, [&](const std::string& at, const std::string& s) {
    c.store(0, at,
            "(" + c_type(c.out_dtype(0)) + ")esp_quantise(" + c.load(0, at) + " / " + c.load(1, s) +
                ", " + (c.has(2) ? c.load(2, s) : "0") + ", " + std::to_string(limits.first) +
                ", " + std::to_string(limits.second) + ")");
  });
}

}  // namespace

const Room& quantize_linear() {
  static const Room room = make_room<LinearQuant>({
      .onnx = {"QuantizeLinear", 21},
      .arity = {2, 3},
      .attributes = {{"axis", &LinearQuant::axis}, {"block_size", &LinearQuant::block_size}},
      .infer = infer,
      .reference = ESP_REFERENCE(LinearQuant, reference),
      .gradient = Refuse{"rounds, so its derivative is zero almost everywhere"},
      .cost = cost,
      .axes = quantized_axes,
      .quantize = Refuse{"changes into integers itself"},
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{},
                   {OperandSpec::of({3, 4}), OperandSpec::fixed(Tensor::scalar(0.01f)),
                    OperandSpec::fixed(Tensor::scalar<uint8_t>(128))}},
                  {{},
                   {OperandSpec::of({2, 3, 2}),
                    OperandSpec::fixed(Tensor::from<float>({3}, {0.1f, 0.01f, 0.001f})),
                    OperandSpec::fixed(Tensor::from<int8_t>({3}, {0, 1, -2}))}},
                  {{}, {OperandSpec::of({4}), OperandSpec::fixed(Tensor::scalar(0.01f))}},
                  {{1, 2},
                   {OperandSpec::of({2, 4}), OperandSpec::ranged({2, 2}, 0.01, 0.1),
                    OperandSpec::ranged({2, 2}, -9, 9, DType::i8)}}},
  });
  return room;
}

}  // namespace espalier::ops

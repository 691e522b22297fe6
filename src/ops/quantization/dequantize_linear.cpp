// DequantizeLinear, ONNX opset 21: y = (x - zero_point) * scale, with one scale, one along an
// axis, or one for each block of it. The scale's type is the result's.
#include "ops/emit.h"
#include "ops/quantization/linear.h"

namespace espalier::ops {
namespace {

Types infer(const LinearQuant& a, const TypesIn& in) {
  if (!is_quantized(in[0].dtype) && in[0].dtype != DType::i32)
    in.fail("cannot dequantise " + to_string(in[0]), "an integer tensor is needed");
  check_scales(a, in);
  if (in.has(2) && in[2].dtype != in[0].dtype)
    in.fail("the zero point is " + std::string(name_of(in[2].dtype)) + ", the operand is " +
            std::string(name_of(in[0].dtype)));
  return {TensorType(in[1].dtype, in[0].dims)};
}

template <class Real>
void reference(const LinearQuant& a, Ref<Real>& r) {
  const auto x = r.ints(0);
  const auto scale = r.real(1);
  const auto y = r.out_real(0);
  for_each_scaled(a, r.shape(0), int64_t(scale.size()), scale.size() != 1, [&](size_t i, size_t s) {
    const int64_t zero = r.has(2) ? r.ints(2)[s] : 0;
    y[i] = Real(x[i] - zero) * scale[s];
  });
}

Cost cost(const LinearQuant&, const TypesIn& in, const Types& out) { return map_cost(2, in, out); }

void emit(const LinearQuant& a, CWriter& c) {
  emit_scaled(a, c, [&](const std::string& at, const std::string& s) {
    const std::string x = "(int32_t)" + c.load(0, at);
    const std::string centred =
        c.has(2) ? "(" + x + " - (int32_t)" + c.load(2, s) + ")" : "(" + x + ")";
    c.store(0, at, "(" + c_type(c.out_dtype(0)) + ")" + centred + " * " + c.load(1, s));
  });
}

}  // namespace

const Room& dequantize_linear() {
  static const Room room = make_room<LinearQuant>({
      .onnx = {"DequantizeLinear", 21},
      .arity = {2, 3},
      .attributes = {{"axis", &LinearQuant::axis}, {"block_size", &LinearQuant::block_size}},
      .infer = infer,
      .reference = ESP_REFERENCE(LinearQuant, reference),
      .gradient = Refuse{"reads integers, which have no gradient"},
      .cost = cost,
      .axes = quantized_axes,
      .quantize = Refuse{"changes from integers itself"},
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{},
                   {OperandSpec::ranged({3, 4}, 0, 255, DType::u8),
                    OperandSpec::fixed(Tensor::scalar(0.01f)),
                    OperandSpec::fixed(Tensor::scalar<uint8_t>(128))}},
                  {{},
                   {OperandSpec::ranged({2, 3, 2}, -128, 127, DType::i8),
                    OperandSpec::fixed(Tensor::from<float>({3}, {0.1f, 0.01f, 0.001f})),
                    OperandSpec::fixed(Tensor::from<int8_t>({3}, {0, 1, -2}))}},
                  {{0},
                   {OperandSpec::ranged({3}, -9999, 9999, DType::i32),
                    OperandSpec::fixed(Tensor::from<float>({3}, {0.1f, 0.01f, 0.001f}))}},
                  {{-2, 2},
                   {OperandSpec::ranged({5, 3}, 0, 15, DType::u8),
                    OperandSpec::ranged({3, 3}, 0.01, 0.1),
                    OperandSpec::ranged({3, 3}, 0, 15, DType::u8)}},
                  {{1, 2},
                   {OperandSpec::ranged({2, 4}, -8, 7, DType::i8),
                    OperandSpec::ranged({2, 2}, 0.01, 0.1)}}},
  });
  return room;
}

}  // namespace espalier::ops

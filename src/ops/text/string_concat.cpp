// StringConcat, ONNX opset 20: pairs of strings joined, with numpy broadcasting.
#include "ops/common.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) {
  for (size_t i = 0; i < 2; ++i)
    if (in[i].dtype != DType::string)
      in.fail("operand " + std::to_string(i) + " is " + std::string(name_of(in[i].dtype)) +
              ", strings are needed");
  return {TensorType(DType::string, broadcast_dims(in))};
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  const auto a = r.tensor(0).template span<std::string>();
  const auto b = r.tensor(1).template span<std::string>();
  std::string* y = r.out_tensor(0).template mutable_data<std::string>();
  for_each_offset<2>(r.out_shape(0),
                     {broadcast_strides(r.shape(0), r.out_shape(0)),
                      broadcast_strides(r.shape(1), r.out_shape(0))},
                     [&](int64_t i, const std::array<int64_t, 2>& o) {
                       y[i] = a[size_t(o[0])] + b[size_t(o[1])];
                     });
}

Cost cost(const NoAttributes&, const TypesIn& in, const Types& out) { return move_cost(in, out); }

AxisMap axes(const NoAttributes&, const TypesIn&, const Types&) { return {}; }

}  // namespace

const Room& string_concat() {
  const auto strings = [](Shape shape, std::initializer_list<std::string> values) {
    return OperandSpec::fixed(Tensor::from<std::string>(std::move(shape), values));
  };
  static const Room room = make_room<NoAttributes>({
      .onnx = {"StringConcat", 20},
      .arity = {2, 2},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = not_differentiable(),
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = needs_growing_memory(),
      .samples = {{{}, {strings({2}, {"a", "bc"}), strings({2}, {"", "d"})}},
                  {{}, {strings({2, 1}, {"a", "b"}), strings({1}, {".com"})}}},
  });
  return room;
}

}  // namespace espalier::ops

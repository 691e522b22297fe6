// ConstantOfShape, ONNX opset 9: a tensor of the shape the operand lists, every element the one of
// the attribute (0 of f32 without it).
#include "ops/emit.h"
#include "ops/shape/move.h"

namespace espalier::ops {
namespace {

struct ConstantOfShape {
  std::optional<Tensor> value;
};

Types infer(const ConstantOfShape& a, const TypesIn& in) {
  if (a.value && a.value->size() != 1)
    in.fail("its value holds " + std::to_string(a.value->size()) + " elements, one is needed");
  const DType dtype = a.value ? a.value->dtype() : DType::f32;
  if (const auto shape = list_of(in, 0)) return {TensorType(dtype, checked_extents(in, *shape))};
  return {TensorType(dtype, Dims(size_t(list_length(in, 0)), Dim::unknown()))};
}

template <class Real>
void reference(const ConstantOfShape& a, Ref<Real>& r) {
  if (!a.value) return;  // results start as zeros
  const Shape& shape = r.out_shape(0);
  copy_block(*a.value, {0, std::vector<int64_t>(shape.size(), 0)}, r.out_tensor(0),
             {0, strides_of(shape)}, shape);
}

Cost cost(const ConstantOfShape&, const TypesIn& in, const Types& out) {
  return move_cost(in, out);
}

// Every element is alike, so each axis may have any extent.
AxisMap axes(const ConstantOfShape&, const TypesIn&, const Types& out) {
  AxisMap map;
  const TensorType& y = out[0].tensor();
  for (int64_t d = 0; d < y.rank(); ++d)
    if (y.dims[size_t(d)].known())
      map.ties.push_back({y.dims[size_t(d)].value(), {AxisPlace::out(0, d)}, false});
  return map;
}

Resized resized(const ConstantOfShape& a, const TypesIn&, const TypesIn&, const Types& wanted) {
  // A shape cannot say that an extent is open.
  if (!wanted[0].is_static()) return {Attributes::of(a), {}};
  return {Attributes::of(a), {{0, Tensor::vector_i64(wanted[0].tensor().shape())}}};
}

void emit(const ConstantOfShape& a, CWriter& c) { c.fill(a.value ? c_literal(*a.value, 0) : "0"); }

}  // namespace

const Room& constant_of_shape() {
  static const Room room = make_room<ConstantOfShape>({
      .onnx = {"ConstantOfShape", 9},
      .arity = {1, 1},
      .attributes = {{"value", &ConstantOfShape::value}},
      .infer = infer,
      .reference = ESP_REFERENCE(ConstantOfShape, reference),
      .gradient = not_differentiable(),
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::list({2, 3})}},
                  {{Tensor::from<int32_t>({1}, {7})}, {OperandSpec::list({4})}},
                  {{}, {OperandSpec::list({})}},
                  {{}, {OperandSpec::list({0, 2})}}},
      .resized = resized,
  });
  return room;
}

}  // namespace espalier::ops

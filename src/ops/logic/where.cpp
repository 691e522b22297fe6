// Where, ONNX opset 16: y = c ? a : b with numpy broadcasting of all three; a and b of any one
// element type but string.
#include "ops/common.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) {
  if (in[0].dtype != DType::boolean)
    in.fail("the condition is " + std::string(name_of(in[0].dtype)) + ", bool is needed",
            "insert a Cast");
  require_same_dtype(in, 1, 3);
  if (in[1].dtype == DType::string)
    throw unsupported(in.where(), "choosing between strings is not supported");
  return {TensorType(in[1].dtype, broadcast_dims(in))};
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  const Shape& shape = r.out_shape(0);
  const std::array<std::vector<int64_t>, 3> strides = {broadcast_strides(r.shape(0), shape),
                                                       broadcast_strides(r.shape(1), shape),
                                                       broadcast_strides(r.shape(2), shape)};
  const bool* c = r.tensor(0).template data<bool>();
  visit_numeric(r.dtype(1), [&](auto tag) {
    using T = decltype(tag);
    const T* a = r.tensor(1).template data<T>();
    const T* b = r.tensor(2).template data<T>();
    T* y = r.out_tensor(0).template mutable_data<T>();
    for_each_offset<3>(shape, strides, [&](int64_t i, const std::array<int64_t, 3>& o) {
      y[i] = c[o[0]] ? a[o[1]] : b[o[2]];
    });
  });
}

// da = c ? dy : 0, db = c ? 0 : dy, each summed over broadcast axes.
Values gradient(const NoAttributes&, Builder& b, const Tape& t) {
  const ValueId zero = b.scalar(0, t.dy());
  return {kNoValue, t.wants(1) ? b.unbroadcast(b.where(t.x(0), t.dy(), zero), t.x(1)) : kNoValue,
          t.wants(2) ? b.unbroadcast(b.where(t.x(0), zero, t.dy()), t.x(2)) : kNoValue};
}

Cost cost(const NoAttributes&, const TypesIn& in, const Types& out) { return map_cost(1, in, out); }

// Zero passes where both choices are zero, whatever the condition: along axes both of them have.
AxisMap axes(const NoAttributes&, const TypesIn& in, const Types& out) {
  AxisMap map = AxisMap::broadcast(in, out[0].tensor(), AxisMap::Zero::kIfAny);
  for (AxisTie& tie : map.ties) {
    int choices = 0;
    for (const AxisPlace& p : tie.places) choices += !p.output && p.slot > 0;
    tie.zero_passes = choices == 2;
  }
  return map;
}

ScalarOp pointwise(const NoAttributes&, const TypesIn&) { return {ScalarCode::kWhere}; }

}  // namespace

const Room& where() {
  const auto condition = [](Shape shape) {
    return OperandSpec::ranged(std::move(shape), 0, 1, DType::boolean);
  };
  static const Room room = make_room<NoAttributes>({
      .onnx = {"Where", 16},
      .arity = {3, 3},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = Refuse{"its operands would need one scale"},
      .pointwise = pointwise,
      .expand = no_expand(),
      .emit = Derive{},
      .samples = {{{}, {condition({3, 4}), OperandSpec::of({3, 4}), OperandSpec::of({3, 4})}},
                  {{}, {condition({4, 1}), OperandSpec::of({2, 1, 3}), OperandSpec::of({})}},
                  {{}, {condition({3}), OperandSpec::of({2, 3}), OperandSpec::of({2, 1})}},
                  {{}, {condition({}), OperandSpec::of({0, 3}), OperandSpec::of({3})}},
                  {{},
                   {condition({5}), OperandSpec::ranged({5}, -9, 9, DType::i64),
                    OperandSpec::ranged({5}, -9, 9, DType::i64)}}},
  });
  return room;
}

}  // namespace espalier::ops

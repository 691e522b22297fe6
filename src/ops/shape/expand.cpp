// Expand, ONNX opset 13: the operand broadcast to the common shape of itself and the target, by
// numpy's rules.
#include "ops/emit.h"
#include "ops/shape/move.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) {
  Dims target;
  if (const auto list = list_of(in, 1)) {
    for (int64_t d : *list) {
      if (d < 0) in.fail("the target " + to_string(*list) + " has a negative extent");
      target.emplace_back(d);
    }
  } else {
    target.resize(size_t(list_length(in, 1)), Dim::unknown());
  }
  return {TensorType(in[0].dtype, broadcast_dims(in, in[0].dims, target))};
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  const Shape& to = r.out_shape(0);
  copy_block(r.tensor(0), {0, broadcast_strides(r.shape(0), to)}, r.out_tensor(0),
             {0, strides_of(to)}, to);
}

Values gradient(const NoAttributes&, Builder& b, const Tape& t) {
  return {b.unbroadcast(t.dy(), t.x(0)), kNoValue};
}

// Axes the operand has pass; axes that are made are repetitions, which may be any number.
AxisMap axes(const NoAttributes&, const TypesIn& in, const Types& out) {
  const Dims& to = out[0].tensor().dims;
  const int64_t lead = int64_t(to.size()) - in[0].rank();
  AxisMap map;
  for (int64_t axis = 0; axis < int64_t(to.size()); ++axis) {
    if (!to[size_t(axis)].known()) continue;
    AxisTie tie{to[size_t(axis)].value(), {AxisPlace::out(0, axis)}, false};
    if (axis >= lead && in[0].dims[size_t(axis - lead)].is(tie.count)) {
      tie.places.push_back(AxisPlace::in(0, axis - lead));
      tie.zero_passes = true;
    }
    map.ties.push_back(std::move(tie));
  }
  return map;
}

Resized resized(const NoAttributes& a, const TypesIn&, const TypesIn&, const Types& wanted) {
  std::vector<int64_t> target;  // 1 leaves a symbolic extent to the operand
  for (const Dim& d : wanted[0].tensor().dims) target.push_back(d.known() ? d.value() : 1);
  return {Attributes::of(a), {{1, Tensor::vector_i64(target)}}};
}

void emit(const NoAttributes&, CWriter& c) {
  const Shape to = c.out_shape(0);
  c.copy(0, {0, broadcast_strides(c.shape(0), to)}, 0, {0, strides_of(to)}, to);
}

}  // namespace

const Room& expand() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"Expand", 13},
      .arity = {2, 2},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = gradient,
      .cost = moves<NoAttributes>,
      .axes = axes,
      .quantize = moves_quantized<NoAttributes>,
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::of({3, 1}), OperandSpec::list({2, 3, 4})}},
                  {{}, {OperandSpec::of({2, 3}), OperandSpec::list({1})}},
                  {{}, {OperandSpec::of({}), OperandSpec::list({2, 2})}},
                  {{}, {OperandSpec::of({1, 3}), OperandSpec::list({0, 3})}}},
      .resized = resized,
  });
  return room;
}

}  // namespace espalier::ops

// Identity, ONNX opset 16: the operand itself, of any type.
#include "ops/common.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) { return {in.type(0)}; }

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  r.give(0, r.datum(0));
}

Values gradient(const NoAttributes&, Builder&, const Tape& t) { return {t.dy()}; }

// The result is the operand's memory.
Cost cost(const NoAttributes&, const TypesIn&, const Types&) { return {}; }

AxisMap axes(const NoAttributes&, const TypesIn& in, const Types&) { return AxisMap::identity(in); }

QuantForm quantize(const NoAttributes&, const TypesIn&) {
  return {.activations = {0}, .result = QuantForm::Result::kSameAsInput};
}

ScalarOp pointwise(const NoAttributes&, const TypesIn&) { return {ScalarCode::kIdentity}; }

}  // namespace

const Room& identity() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"Identity", 16},
      .arity = {1, 1},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = quantize,
      .pointwise = pointwise,
      .expand = no_expand(),
      .emit = emit_view<NoAttributes>,
      .samples = {{{}, {OperandSpec::of({2, 3})}},
                  {{}, {OperandSpec::of({0})}},
                  {{}, {OperandSpec::ranged({4}, 0, 1, DType::boolean)}}},
  });
  return room;
}

}  // namespace espalier::ops

// Not, ONNX opset 1: y = not x, of booleans.
#include "ops/logic/logical.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) {
  require_bool(in, 0);
  return same_as_input(in);
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  const auto x = r.ints(0);
  const auto y = r.out_ints(0);
  for (size_t i = 0; i < x.size(); ++i) y[i] = x[i] == 0;
}

Cost cost(const NoAttributes&, const TypesIn& in, const Types& out) { return map_cost(1, in, out); }

AxisMap axes(const NoAttributes&, const TypesIn& in, const Types&) {
  return AxisMap::identity(in, false);
}

// 1 - x on lanes of 1 and 0.
ScalarOp pointwise(const NoAttributes&, const TypesIn&) { return {ScalarCode::kAffine, -1, 1}; }

}  // namespace

const Room& logical_not() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"Not", 1},
      .arity = {1, 1},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = not_differentiable(),
      .cost = cost,
      .axes = axes,
      .quantize = Refuse{"its operand is boolean"},
      .pointwise = pointwise,
      .expand = no_expand(),
      .emit = Derive{},
      .samples = {{{}, {OperandSpec::ranged({3, 4}, 0, 1, DType::boolean)}},
                  {{}, {OperandSpec::ranged({0}, 0, 1, DType::boolean)}}},
  });
  return room;
}

}  // namespace espalier::ops

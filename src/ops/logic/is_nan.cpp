// IsNaN, ONNX opset 13: whether each float is no number.
#include <cmath>
#include <limits>

#include "ops/common.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) {
  require_float(in, 0);
  return {TensorType(DType::boolean, in[0].dims)};
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  const auto x = r.real(0);
  const auto y = r.out_ints(0);
  for (size_t i = 0; i < x.size(); ++i) y[i] = std::isnan(x[i]);
}

Cost cost(const NoAttributes&, const TypesIn& in, const Types& out) { return map_cost(1, in, out); }

AxisMap axes(const NoAttributes&, const TypesIn& in, const Types&) { return AxisMap::identity(in); }

void emit(const NoAttributes&, CWriter& c) { c.map("x0 != x0"); }

}  // namespace

const Room& is_nan() {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  constexpr float inf = std::numeric_limits<float>::infinity();
  static const Room room = make_room<NoAttributes>({
      .onnx = {"IsNaN", 13},
      .arity = {1, 1},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = not_differentiable(),
      .cost = cost,
      .axes = axes,
      .quantize = Refuse{"its result is boolean"},
      .pointwise = Refuse{"no fused kernel evaluates it"},
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::of({2, 3})}},
                  {{}, {OperandSpec::fixed(Tensor::from<float>({4}, {nan, inf, -inf, 0}))}},
                  {{}, {OperandSpec::of({0})}}},
  });
  return room;
}

}  // namespace espalier::ops

// IsInf, ONNX opset 10: whether each float is infinite, of the signs asked for.
#include <limits>

#include "ops/common.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

struct IsInf {
  bool detect_negative = true;
  bool detect_positive = true;
};

Types infer(const IsInf&, const TypesIn& in) {
  require_float(in, 0);
  return {TensorType(DType::boolean, in[0].dims)};
}

template <class Real>
void reference(const IsInf& a, Ref<Real>& r) {
  constexpr Real inf = std::numeric_limits<Real>::infinity();
  const auto x = r.real(0);
  const auto y = r.out_ints(0);
  for (size_t i = 0; i < x.size(); ++i)
    y[i] = (a.detect_positive && x[i] == inf) || (a.detect_negative && x[i] == -inf);
}

Cost cost(const IsInf&, const TypesIn& in, const Types& out) { return map_cost(1, in, out); }

AxisMap axes(const IsInf&, const TypesIn& in, const Types&) { return AxisMap::identity(in); }

void emit(const IsInf& a, CWriter& c) {
  const std::string above = a.detect_positive ? "x0 == INFINITY" : "0";
  c.map(above + (a.detect_negative ? " || x0 == -INFINITY" : " || (x0 != x0 && 0)"));
}

}  // namespace

const Room& is_inf() {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  constexpr float inf = std::numeric_limits<float>::infinity();
  const OperandSpec special = OperandSpec::fixed(Tensor::from<float>({4}, {nan, inf, -inf, 0}));
  static const Room room = make_room<IsInf>({
      .onnx = {"IsInf", 10},
      .arity = {1, 1},
      .attributes = {{"detect_negative", &IsInf::detect_negative},
                     {"detect_positive", &IsInf::detect_positive}},
      .infer = infer,
      .reference = ESP_REFERENCE(IsInf, reference),
      .gradient = not_differentiable(),
      .cost = cost,
      .axes = axes,
      .quantize = Refuse{"its result is boolean"},
      .pointwise = Refuse{"no fused kernel evaluates it"},
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::of({2, 3})}},
                  {{}, {special}},
                  {{false, true}, {special}},
                  {{true, false}, {special}}},
  });
  return room;
}

}  // namespace espalier::ops

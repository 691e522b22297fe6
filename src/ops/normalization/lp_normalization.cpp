// LpNormalization, ONNX opset 1: x divided by its p-norm (p of 1 or 2) along an axis; 0 where the
// norm is 0.
#include <cmath>

#include "ops/normalization/softmax.h"
#include "ops/reduction/lp.h"

namespace espalier::ops {
namespace {

struct LpNormalization {
  int64_t axis = -1;
  int64_t p = 2;
};

Types infer(const LpNormalization& a, const TypesIn& in) {
  require_float(in, 0);
  axis_of(in, 0, a.axis);
  if (a.p != 1 && a.p != 2) in.fail("p is " + std::to_string(a.p), "1 and 2 are known");
  return same_as_input(in);
}

template <class Real>
void reference(const LpNormalization& a, Ref<Real>& r) {
  const auto x = r.real(0);
  const auto y = r.out_real(0);
  for_each_slice(r.shape(0), a.axis, [&](size_t first, size_t step, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; ++i) {
      const double v = double(x[first + size_t(i) * step]);
      sum += a.p == 1 ? std::abs(v) : v * v;
    }
    const double norm = a.p == 1 ? sum : std::sqrt(sum);
    for (int64_t i = 0; i < count; ++i) {
      const size_t at = first + size_t(i) * step;
      y[at] = Real(norm == 0 ? 0 : double(x[at]) / norm);
    }
  });
}

// A norm of 0 divides by 1 instead: its elements are all 0.
Values expand(const LpNormalization& a, Builder& b, const Values& in) {
  const ValueId norm = lp_norm(b, in[0], a.p, {a.axis});
  const ValueId none = b.one("Equal", {norm, b.scalar(0, norm)});
  return {b.div(in[0], b.where(none, b.scalar(1, norm), norm))};
}

Cost cost(const LpNormalization&, const TypesIn& in, const Types& out) {
  return map_cost(3, in, out);
}

// Every element of a norm's axis depends on the others.
AxisMap axes(const LpNormalization& a, const TypesIn& in, const Types&) {
  AxisMap map = AxisMap::identity(in);
  for (AxisTie& tie : map.ties) tie.reads_whole = tie.places[0].axis == int(axis_of(in, 0, a.axis));
  return map;
}

}  // namespace

const Room& lp_normalization() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  static const Room room = make_room<LpNormalization>({
      .onnx = {"LpNormalization", 1},
      .arity = {1, 1},
      .attributes = {{"axis", &LpNormalization::axis}, {"p", &LpNormalization::p}},
      .infer = infer,
      .reference = ESP_REFERENCE(LpNormalization, reference),
      .gradient = Derive{},
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = Derive{},
      .samples = {{{}, {x({2, 5})}},
                  {{1, 1}, {x({2, 3, 4})}},
                  {{0, 2}, {x({0, 3})}},
                  {{}, {OperandSpec::fixed(Tensor(DType::f32, {2, 3}))}}},
      .kinks = {0},
  });
  return room;
}

}  // namespace espalier::ops

// Softmax, ONNX opset 13: y = e^x / sum e^x along one axis, taken relative to the largest element
// so that nothing overflows.
#include "ops/normalization/softmax.h"
#include "ops/emit.h"

#include <cmath>

namespace espalier::ops {

Types infer_softmax(const Softmax& a, const TypesIn& in) {
  require_float(in, 0);
  axis_of(in, 0, a.axis);
  return same_as_input(in);
}

AxisMap softmax_axes(const Softmax& a, const TypesIn& in, const Types&) {
  AxisMap map = AxisMap::identity(in, false);
  for (AxisTie& tie : map.ties) tie.reads_whole = tie.places[0].axis == int(axis_of(in, 0, a.axis));
  return map;
}

ValueId sum_along(Builder& b, const Softmax& a, ValueId v) { return b.reduce_sum(v, {a.axis}); }

namespace {

template <class Real>
void reference(const Softmax& a, Ref<Real>& r) {
  const auto x = r.real(0);
  const auto y = r.out_real(0);
  for_each_slice(r.shape(0), a.axis, [&](size_t first, size_t step, int64_t count) {
    Real largest = x[first];
    for (int64_t i = 1; i < count; ++i) largest = std::max(largest, x[first + size_t(i) * step]);
    Real sum = 0;
    for (int64_t i = 0; i < count; ++i) {
      const size_t at = first + size_t(i) * step;
      sum += y[at] = std::exp(x[at] - largest);
    }
    for (int64_t i = 0; i < count; ++i) y[first + size_t(i) * step] /= sum;
  });
}

Values gradient(const Softmax& a, Builder& b, const Tape& t) {
  return {b.one("espalier.SoftmaxGrad", {t.y(0), t.dy()}, {{"axis", a.axis}})};
}

Cost cost(const Softmax&, const TypesIn& in, const Types& out) { return map_cost(14, in, out); }

void emit(const Softmax& a, CWriter& c) { emit_softmax(a, c, false); }

}  // namespace

const Room& softmax() {
  const auto x = [](Shape shape) { return OperandSpec::ranged(std::move(shape), -4, 4); };
  static const Room room = make_room<Softmax>({
      .onnx = {"Softmax", 13},
      .arity = {1, 1},
      .attributes = {{"axis", &Softmax::axis}},
      .infer = infer_softmax,
      .reference = ESP_REFERENCE(Softmax, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = softmax_axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {x({2, 5})}}, {{1}, {x({2, 3, 4})}}, {{0}, {x({4})}}, {{}, {x({0, 5})}}},
  });
  return room;
}

void emit_softmax(const Softmax& a, CWriter& c, bool logarithm) {
  require_f32(c);
  const Shape shape = c.shape(0);
  const auto axis = size_t(normal_axis(a.axis, int64_t(shape.size()), "Softmax"));
  if (numel(shape) == 0) return;
  c.overlay(0, 0);
  c.call("softmax.h", "esp_softmax_f32",
         {std::to_string(product(shape, 0, axis)), std::to_string(shape[axis]),
          std::to_string(product(shape, axis + 1, shape.size())), logarithm ? "1" : "0", c.in(0),
          c.out(0)});
}

}  // namespace espalier::ops

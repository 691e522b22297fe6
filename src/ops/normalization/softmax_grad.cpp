// espalier.SoftmaxGrad(y, dy) -> dx: the gradient of Softmax, from its result,
//   dx = y (dy - sum dy y), sums along the axis.
#include "ops/normalization/softmax.h"

namespace espalier::ops {
namespace {

Types infer(const Softmax& a, const TypesIn& in) {
  require_float(in, 0);
  require_same_dtype(in, 0, 2);
  axis_of(in, 0, a.axis);
  require_like_result(in, 1, in[0]);
  return same_as_input(in);
}

template <class Real>
void reference(const Softmax& a, Ref<Real>& r) {
  const auto y = r.real(0), dy = r.real(1);
  const auto dx = r.out_real(0);
  for_each_slice(r.shape(0), a.axis, [&](size_t first, size_t step, int64_t count) {
    Real along = 0;
    for (int64_t i = 0; i < count; ++i)
      along += dy[first + size_t(i) * step] * y[first + size_t(i) * step];
    for (int64_t i = 0; i < count; ++i) {
      const size_t at = first + size_t(i) * step;
      dx[at] = y[at] * (dy[at] - along);
    }
  });
}

Values expand(const Softmax& a, Builder& b, const Values& in) {
  return {b.mul(in[0], b.sub(in[1], sum_along(b, a, b.mul(in[1], in[0]))))};
}

Cost cost(const Softmax&, const TypesIn& in, const Types& out) { return map_cost(4, in, out); }

AxisMap axes(const Softmax& a, const TypesIn& in, const Types& out) {
  AxisMap map = softmax_axes(a, in, out);
  for (AxisTie& tie : map.ties) tie.places.push_back(AxisPlace::in(1, tie.places[0].axis));
  return map;
}

}  // namespace

const Room& softmax_grad() {
  const auto y = [](Shape shape) { return OperandSpec::ranged(std::move(shape), 0, 1); };
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  static const Room room = make_room<Softmax>({
      .onnx = {"SoftmaxGrad", 1, "espalier"},
      .arity = {2, 2},
      .attributes = {{"axis", &Softmax::axis}},
      .infer = infer,
      .reference = ESP_REFERENCE(Softmax, reference),
      .gradient = Derive{},
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = Derive{},
      .samples = {{{}, {y({2, 5}), x({2, 5})}},
                  {{1}, {y({2, 3, 4}), x({2, 3, 4})}},
                  {{}, {y({0, 5}), x({0, 5})}}},
  });
  return room;
}

}  // namespace espalier::ops

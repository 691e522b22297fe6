// LogSoftmax, ONNX opset 13: y = x - log sum e^x along one axis, without overflow.
#include <cmath>

#include "ops/emit.h"
#include "ops/normalization/softmax.h"

namespace espalier::ops {
namespace {

template <class Real>
void reference(const Softmax& a, Ref<Real>& r) {
  const auto x = r.real(0);
  const auto y = r.out_real(0);
  for_each_slice(r.shape(0), a.axis, [&](size_t first, size_t step, int64_t count) {
    int64_t most = 0;
    for (int64_t i = 1; i < count; ++i)
      if (x[first + size_t(i) * step] > x[first + size_t(most) * step]) most = i;
    const Real largest = x[first + size_t(most) * step];
    Real others = 0;
    for (int64_t i = 0; i < count; ++i)
      if (i != most) others += std::exp(x[first + size_t(i) * step] - largest);
    const Real log_sum = std::log1p(others);
    for (int64_t i = 0; i < count; ++i) {
      const size_t at = first + size_t(i) * step;
      y[at] = x[at] - largest - log_sum;
    }
  });
}

// dx = dy - e^y sum dy.
Values gradient(const Softmax& a, Builder& b, const Tape& t) {
  return {b.sub(t.dy(), b.mul(b.exp(t.y(0)), sum_along(b, a, t.dy())))};
}

Cost cost(const Softmax&, const TypesIn& in, const Types& out) { return map_cost(14, in, out); }

void emit(const Softmax& a, CWriter& c) { emit_softmax(a, c, true); }

}  // namespace

const Room& log_softmax() {
  const auto x = [](Shape shape) { return OperandSpec::ranged(std::move(shape), -4, 4); };
  static const Room room = make_room<Softmax>({
      .onnx = {"LogSoftmax", 13},
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

}  // namespace espalier::ops

// Hardmax, ONNX opset 13: 1 at the first largest element along an axis, 0 elsewhere.
#include "ops/emit.h"
#include "ops/normalization/softmax.h"

namespace espalier::ops {
namespace {

template <class Real>
void reference(const Softmax& a, Ref<Real>& r) {
  const auto x = r.real(0);
  const auto y = r.out_real(0);
  for_each_slice(r.shape(0), a.axis, [&](size_t first, size_t step, int64_t count) {
    size_t best = first;
    for (int64_t i = 0; i < count; ++i) {
      const size_t at = first + size_t(i) * step;
      y[at] = 0;
      if (x[at] > x[best]) best = at;
    }
    y[best] = 1;
  });
}

Cost cost(const Softmax&, const TypesIn& in, const Types& out) { return map_cost(1, in, out); }

void emit(const Softmax& a, CWriter& c) {
  const Shape shape = c.shape(0);
  std::vector<bool> mask(shape.size(), false);
  mask[size_t(normal_axis(a.axis, int64_t(shape.size()), "Hardmax"))] = true;
  if (numel(shape) == 0) return;
  c.fill("0");
  c.fold(
      mask, [&] { c.line("int best = -1;"); }, {[&](const std::string& at) {
        c.line("if (best < 0 || " + c.load(0, at) + " > " + c.load(0, "best") + ") best = " + at +
               ";");
      }},
      [&](const std::string&) { c.store(0, "best", "1"); });
}

}  // namespace

const Room& hardmax() {
  const auto x = [](Shape shape) { return OperandSpec::ranged(std::move(shape), -4, 4); };
  static const Room room = make_room<Softmax>({
      .onnx = {"Hardmax", 13},
      .arity = {1, 1},
      .attributes = {{"axis", &Softmax::axis}},
      .infer = infer_softmax,
      .reference = ESP_REFERENCE(Softmax, reference),
      .gradient = not_differentiable(),
      .cost = cost,
      .axes = softmax_axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {x({2, 5})}},
                  {{1}, {x({2, 3, 4})}},
                  {{0}, {OperandSpec::fixed(Tensor::from<float>({4}, {1, 3, 3, -2}))}},
                  {{}, {x({0, 5})}},
                  {{}, {x({5, 0})}}},
  });
  return room;
}

}  // namespace espalier::ops

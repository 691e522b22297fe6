// LRN, ONNX opset 13 (Krizhevsky, Sutskever & Hinton, NIPS 2012, section 3.3): with s the sum of
// squares over `size` neighbouring channels, y = x / (bias + alpha / size * s)^beta.
#include <cmath>

#include "ops/common.h"

namespace espalier::ops {
namespace {

struct Lrn {
  float alpha = 1e-4f;
  float beta = 0.75f;
  float bias = 1.0f;
  int64_t size = 0;
};

/// Neighbours before and behind a channel.
int64_t before(const Lrn& a) { return (a.size - 1) / 2; }
int64_t behind(const Lrn& a) { return a.size / 2; }

Types infer(const Lrn& a, const TypesIn& in) {
  require_float(in, 0);
  if (in[0].rank() < 3)
    in.fail("operand 0 is " + to_string(in[0]), "spatial axes must follow batch and channel");
  if (a.size < 1 || a.size > (int64_t{1} << 30))
    in.fail("size is " + std::to_string(a.size) + ", at least 1 is needed");
  return same_as_input(in);
}

template <class Real>
void reference(const Lrn& a, Ref<Real>& r) {
  const Shape& shape = r.shape(0);
  const int64_t channels = shape[1], plane = product(shape, 2, shape.size());
  const auto x = r.real(0);
  const auto y = r.out_real(0);
  for (int64_t n = 0; n < shape[0]; ++n)
    for (int64_t c = 0; c < channels; ++c) {
      const int64_t first = std::max<int64_t>(0, c - before(a));
      const int64_t last = std::min(channels - 1, c + behind(a));
      for (int64_t i = 0; i < plane; ++i) {
        Real sum = 0;
        for (int64_t k = first; k <= last; ++k) {
          const Real v = x[size_t((n * channels + k) * plane + i)];
          sum += v * v;
        }
        const auto at = size_t((n * channels + c) * plane + i);
        y[at] = x[at] / std::pow(Real(a.bias) + Real(a.alpha) / Real(a.size) * sum, Real(a.beta));
      }
    }
}

// The mean of squares over neighbouring channels is an average pool that counts its padding.
Values expand(const Lrn& a, Builder& b, const Values& in) {
  const ValueId x = in[0];
  const int64_t spatial = b.type(x).rank() - 2;
  if (spatial > 2)
    throw unsupported("LRN", "over three spatial axes has no expansion and so no gradient");
  std::vector<int64_t> kernel(size_t(spatial) + 1, 1), pads(2 * kernel.size(), 0);
  kernel[0] = a.size;
  pads[0] = before(a);
  pads[kernel.size()] = behind(a);
  const ValueId squares = b.one("Unsqueeze", {b.mul(x, x), b.ints({1})});
  const ValueId mean =
      b.one("AveragePool", {squares},
            {{"kernel_shape", kernel}, {"pads", pads}, {"count_include_pad", int64_t{1}}});
  const ValueId base =
      b.add(b.mul(b.one("Squeeze", {mean, b.ints({1})}), double(a.alpha)), double(a.bias));
  return {b.div(x, b.one("Pow", {base, b.scalar(double(a.beta), x)}))};
}

Cost cost(const Lrn& a, const TypesIn& in, const Types& out) {
  return map_cost(2 * double(a.size) + 20, in, out);
}

// Neighbouring channels read each other: only the other axes are free.
AxisMap axes(const Lrn&, const TypesIn& in, const Types&) {
  AxisMap map;
  for (AxisTie& tie : AxisMap::identity(in).ties)
    if (tie.places[0].axis != 1) map.ties.push_back(std::move(tie));
  return map;
}

}  // namespace

const Room& lrn() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  static const Room room = make_room<Lrn>({
      .onnx = {"LRN", 13},
      .arity = {1, 1},
      .attributes = {{"alpha", &Lrn::alpha},
                     {"beta", &Lrn::beta},
                     {"bias", &Lrn::bias},
                     required("size", &Lrn::size)},
      .infer = infer,
      .reference = ESP_REFERENCE(Lrn, reference),
      .gradient = Derive{},
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = Derive{},
      .samples = {{{0.5f, 0.75f, 1.0f, 3}, {x({2, 5, 2, 3})}},
                  {{0.5f, 0.5f, 2.0f, 4}, {x({1, 5, 3})}},
                  {{0.5f, 0.75f, 1.0f, 3}, {x({0, 5, 2, 3})}}},
  });
  return room;
}

}  // namespace espalier::ops

// LpPool, ONNX opset 18: the p-norm of each window; padding adds nothing to it.
#include <cmath>

#include "base/error.h"
#include "ops/pool/pool.h"
#include "ops/reduction/lp.h"

namespace espalier::ops {
namespace {

struct LpPool : Window {
  bool ceil_mode = false;
  int64_t p = 2;
};

Types infer(const LpPool& a, const TypesIn& in) {
  require_float(in, 0);
  require_norm(in, a.p);
  return {TensorType(in[0].dtype, pool_dims(in, a, a.ceil_mode, in[0]))};
}

template <class Real>
void reference(const LpPool& a, Ref<Real>& r) {
  const Geometry g = pool_geometry(a, r.shape(0));
  const auto x = r.real(0);
  const auto y = r.out_real(0);
  const int64_t planes = r.shape(0)[0] * r.shape(0)[1];
  std::vector<double> sums(size_t(g.out_size()));
  for (int64_t p = 0; p < planes; ++p) {
    const Real* px = x.data() + p * g.in_size();
    std::fill(sums.begin(), sums.end(), 0.0);
    for_each_overlap(g, [&](int64_t, int64_t to, int64_t from, int64_t count, int64_t step) {
      for (int64_t i = 0; i < count; ++i)
        sums[size_t(to + i)] += std::pow(std::abs(double(px[from + i * step])), double(a.p));
    });
    for (int64_t i = 0; i < g.out_size(); ++i)
      y[size_t(p * g.out_size() + i)] = Real(std::pow(sums[size_t(i)], 1 / double(a.p)));
  }
}

// The sums over windows are a convolution of each channel by itself with ones.
Values expand(const LpPool& a, Builder& b, const Values& in) {
  const TensorType type = b.type(in[0]);
  const Dim& channels = type.dims[1];
  const bool reaches_beyond = a.ceil_mode && !type.is_static();
  if (!channels.known() || reaches_beyond)
    throw unsupported("LpPool", "needs the extents of " + to_string(type) + " to be expanded",
                      "specialise the network to fixed shapes");
  LpPool window = resolved_pool(a, type);
  if (a.ceil_mode) {
    const Geometry g = pool_geometry(a, type.shape());
    const size_t spatial = a.kernel_shape.size();
    for (size_t d = 0; d < spatial; ++d) {
      // Windows that begin inside may end behind the padded operand; those that begin behind it
      // are none, and padding that only they would reach is left out.
      const WindowAxis& axis = g.axes[g.axes.size() - spatial + d];
      window.pads[spatial + d] =
          std::max<int64_t>(0, axis.position(axis.out - 1, 0) + axis.reach() - axis.in);
    }
  }
  Shape kernel = {channels.value(), std::min<int64_t>(1, channels.value())};
  kernel.insert(kernel.end(), a.kernel_shape.begin(), a.kernel_shape.end());
  const ValueId powers = power_of_magnitude(b, in[0], a.p);
  const ValueId ones = b.one("Expand", {b.scalar(1, in[0]), b.ints(kernel)});
  const int64_t groups = std::max<int64_t>(1, channels.value());
  AttributeMap attributes = {{"group", groups}, {"kernel_shape", a.kernel_shape}};
  if (!window.strides.empty()) attributes["strides"] = window.strides;
  if (!window.dilations.empty()) attributes["dilations"] = window.dilations;
  if (!window.pads.empty()) attributes["pads"] = window.pads;
  if (window.auto_pad != "NOTSET") attributes["auto_pad"] = window.auto_pad;
  return {root(b, b.one("Conv", {powers, ones}, attributes), a.p)};
}

Cost cost(const LpPool& a, const TypesIn& in, const Types& out) {
  Cost c = pool_cost(in, out, a.kernel_shape);
  c.flops *= 3;
  return c;
}

AxisMap axes(const LpPool&, const TypesIn& in, const Types&) { return pool_axes(in); }

}  // namespace

const Room& lp_pool() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  static const Room room = make_room<LpPool>({
      .onnx = {"LpPool", 18},
      .arity = {1, 1},
      .attributes =
          window_fields<LpPool>(true, true, {{"ceil_mode", &LpPool::ceil_mode}, {"p", &LpPool::p}}),
      .infer = infer,
      .reference = ESP_REFERENCE(LpPool, reference),
      .gradient = Derive{},
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = Derive{},
      .samples = {{{{.kernel_shape = {2, 2}, .strides = {2, 2}}}, {x({2, 3, 4, 6})}},
                  {{{.kernel_shape = {3, 3}, .strides = {2, 2}, .pads = {1, 1, 1, 1}}, false, 3},
                   {x({1, 2, 5, 6})}},
                  {{{.kernel_shape = {2}, .dilations = {2}}, false, 1}, {x({2, 3, 5})}},
                  {{{.kernel_shape = {2, 3}, .strides = {2, 2}}, true}, {x({1, 2, 5, 6})}},
                  {{{.kernel_shape = {3, 2}, .strides = {2, 1}, .auto_pad = "SAME_UPPER"}},
                   {x({1, 2, 4, 5})}},
                  {{{.kernel_shape = {2, 2}}}, {x({0, 3, 4, 4})}}},
      .kinks = {0},
  });
  return room;
}

}  // namespace espalier::ops

// Conv, ONNX opset 11: y[n, m, o] = b[m] + sum_{c, k} w[m, c, k] x[n, c', o * stride + k * dilation
// - pad], in one to three spatial dimensions, with groups: c' = m / (M / group) * (C / group) + c.
#include "ops/linear/conv.h"

#include "ops/catalogue.h"
#include "ops/common.h"
#include "ops/emit.h"
#include "ops/quantization/integer_c.h"

namespace espalier::ops {

std::vector<Field> conv_fields() {
  return window_fields<Conv>(false, true, {{"group", &Conv::group}});
}

namespace {

Dims kernel_dims(const TypesIn& in, const Conv& a, const TensorType& w) {
  Dims kernel = spatial_dims(w);
  for (size_t i = 0; i < a.kernel_shape.size(); ++i) {
    if (!kernel[i].known())
      kernel[i] = Dim(a.kernel_shape[i]);
    else if (!kernel[i].is(a.kernel_shape[i]))
      in.fail("kernel_shape is " + to_string(a.kernel_shape) + ", the weight is " + to_string(w));
  }
  return kernel;
}

}  // namespace

TensorType conv_result(const TypesIn& in, const Conv& a, const TensorType& x, const TensorType& w) {
  if (w.rank() != x.rank())
    in.fail("the weight is " + to_string(w) + ", rank " + std::to_string(x.rank()) + " is needed");
  if (x.rank() < 3 || x.rank() > 5)
    in.fail("the operand is " + to_string(x),
            "one to three spatial axes must follow batch and channel");
  const size_t spatial = size_t(x.rank()) - 2;
  check_window(in, a, spatial);
  if (a.group < 1) in.fail("group is " + std::to_string(a.group) + ", at least 1 is needed");
  const Dim &results = w.dims[0], &per_group = w.dims[1], &channels = x.dims[1];
  if (results.known() && results.value() % a.group != 0)
    in.fail(to_string(results) + " result channels do not divide into " + std::to_string(a.group) +
            " groups");
  if (channels.known() && per_group.known() &&
      (channels.value() % a.group != 0 || channels.value() / a.group != per_group.value()))
    in.fail("the operand has " + to_string(channels) + " channels, the weight takes " +
            to_string(per_group) + " in each of " + std::to_string(a.group) + " groups");
  Dims dims = {x.dims[0], results};
  for (Dim& d : window_extents(in, a, spatial_dims(x), kernel_dims(in, a, w)))
    dims.push_back(std::move(d));
  return TensorType(x.dtype, std::move(dims));
}

Conv resolved(const Conv& a, const TensorType& x, const TensorType& w) {
  return {resolved(a, spatial_dims(x), spatial_dims(w)), a.group};
}

Geometry conv_geometry(const Conv& a, const Shape& x, const Shape& w) {
  return geometry(a, spatial_shape(x), spatial_shape(w));
}

double conv_macs(const TensorType& y, const TensorType& w) {
  return double(y.numel()) * double(product(w.shape(), 1, w.dims.size()));
}

namespace {

Types infer(const Conv& a, const TypesIn& in) {
  require_float(in, 0);
  require_same_dtype(in, 0, 3);
  TensorType y = conv_result(in, a, in[0], in[1]);
  if (in.has(2)) {
    require_rank(in, 2, 1);
    const Dim &m = in[1].dims[0], &bias = in[2].dims[0];
    if (m.known() && bias.known() && !(m == bias))
      in.fail("the bias has " + to_string(bias) + " entries for " + to_string(m) +
              " result channels");
  }
  return {std::move(y)};
}

template <class Real>
void reference(const Conv& a, Ref<Real>& r) {
  const Geometry g = conv_geometry(a, r.shape(0), r.shape(1));
  const auto x = r.real(0), w = r.real(1);
  const auto y = r.out_real(0);
  const int64_t results = r.shape(1)[0], size = g.out_size();
  for (size_t i = 0; i < y.size(); ++i)
    y[i] = r.has(2) ? r.real(2)[size_t(int64_t(i) / size % results)] : Real(0);
  if (y.empty()) return;
  for_each_plane_pair(r.shape(0), r.shape(1), a.group, [&](int64_t xp, int64_t yp, int64_t wp) {
    const Real* px = x.data() + xp * g.in_size();
    const Real* pw = w.data() + wp * g.kernel_size();
    Real* py = y.data() + yp * size;
    for_each_overlap(g, [&](int64_t k, int64_t to, int64_t from, int64_t count, int64_t step) {
      for (int64_t i = 0; i < count; ++i) py[to + i] += pw[k] * px[from + i * step];
    });
  });
}

Values gradient(const Conv& a, Builder& b, const Tape& t) {
  const Attributes attrs = Attributes::of(resolved(a, t.type_x(0), t.type_x(1)));
  Values d(t.inputs(), kNoValue);
  if (t.wants(0)) d[0] = b.op(conv_grad_input(), attrs, {t.dy(), t.x(1), shape_of(b, t.x(0))})[0];
  if (t.wants(1)) d[1] = b.op(conv_grad_weight(), attrs, {t.x(0), t.dy(), shape_of(b, t.x(1))})[0];
  if (t.wants(2)) {
    std::vector<int64_t> summed = {0};
    for (int64_t axis = 2; axis < t.type_y(0).rank(); ++axis) summed.push_back(axis);
    d[2] = b.reduce_sum(t.dy(), summed, false);
  }
  return d;
}

Cost cost(const Conv&, const TypesIn& in, const Types& out) {
  Cost c = contraction(conv_macs(out[0].tensor(), in[1]), in, out);
  if (in.has(2)) c.flops += double(out[0].tensor().numel());
  return c;
}

// Spatial axes are disconnected: a window reads neighbours and padding. With groups, only whole
// groups can be cut.
AxisMap axes(const Conv& a, const TypesIn& in, const Types& out) {
  const TensorType& y = out[0].tensor();
  const int64_t results = in[1].dims[0].value(), per_group = in[1].dims[1].value();
  AxisMap map;
  if (y.dims[0].known())
    map.ties.push_back(
        {y.dims[0].value(), {AxisPlace::in(0, 0), AxisPlace::out(0, 0)}, !in.has(2)});
  if (a.group == 1) {
    map.ties.push_back({per_group, {AxisPlace::in(0, 1), AxisPlace::in(1, 1)}});
    map.ties.push_back({results, {AxisPlace::in(1, 0), AxisPlace::out(0, 1)}});
  } else {
    const int64_t inner = results / a.group;
    map.ties.push_back({a.group,
                        {AxisPlace::in(0, 1, per_group), AxisPlace::in(1, 0, inner),
                         AxisPlace::out(0, 1, inner)}});
  }
  if (in.has(2))
    map.ties.back().places.push_back(AxisPlace::in(2, 0, a.group == 1 ? 1 : results / a.group));
  return map;
}

Resized group_of_widths(const Conv& a, const TypesIn&, const TypesIn& after, const Types&) {
  Conv r = a;
  const int64_t per_group = after[1].dims[1].value();
  if (a.group > 1 && per_group > 0)
    r.group = std::max<int64_t>(1, after[0].dims[1].value() / per_group);
  return {Attributes::of(r), {}};
}

QuantForm quantize(const Conv&, const TypesIn&) {
  return {.activations = {0}, .weight = 1, .weight_axis = 0, .bias = 2};
}

void emit(const Conv& a, CWriter& c) {
  require_f32(c);
  if (c.out_size(0) == 0) return;
  if (runs_on_integers(c, 0)) {
    const RealOfSum real = real_of_sum(c);
    return emit_integer_conv(
        c, a, c.shape(0), c.shape(1), bytes_in_c(*c.quantised(0)), weights_in_c(c, *c.quantised(1)),
        [&](const std::string& at, const std::string& sum, const std::string& channel) {
          c.store(0, at, real(sum, channel));
        });
  }
  c.line("static const esp_conv shape = " + conv_in_c(a, c.shape(0), c.shape(1)) + ";");
  c.call("conv.h", "esp_conv_f32",
         {"&shape", c.in(0), c.in(1), c.in(2), "-INFINITY", "INFINITY", c.out(0)});
}

}  // namespace

const Room& conv() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  static const Room
      room =
          make_room<Conv>(
              {
                  .onnx = {"Conv", 11},
                  .arity = {2, 3},
                  .attributes = conv_fields(),
                  .infer = infer,
                  .reference = ESP_REFERENCE(Conv, reference),
                  .gradient = gradient,
                  .cost = cost,
                  .axes = axes,
                  .quantize = quantize,
                  .pointwise = not_pointwise(),
                  .expand = no_expand(),
                  .emit = emit,
                  .samples =
                      {
                          {{}, {x({2, 3, 5, 6}), x({4, 3, 3, 3}), x({4})}},
                          {{{.pads = {1, 1, 1, 1}}}, {x({1, 2, 4, 4}), x({3, 2, 3, 3})}},
                          {{{.strides = {2, 1}, .pads = {0, 1, 2, 3}}},
                           {x({1, 2, 5, 4}), x({3, 2, 3, 2})}},
                          {{{.dilations = {2, 3}, .pads = {2, 0, 1, 3}}},
                           {x({1, 1, 5, 6}), x({2, 1, 2, 3}), x({2})}},
                          {{{.pads = {1, 1, 1, 1}}, 2}, {x({1, 4, 4, 4}), x({6, 2, 3, 3}), x({6})}},
                          {{{.strides = {2, 2}, .pads = {1, 1, 1, 1}}, 4},
                           {x({1, 4, 5, 5}), x({4, 1, 3, 3}), x({4})}},
                          {{{}, 3}, {x({2, 3, 3, 3}), x({6, 1, 2, 2})}},
                          {{{.strides = {2, 2}, .auto_pad = "SAME_UPPER"}},
                           {x({1, 2, 4, 5}), x({2, 2, 3, 2})}},
                          {{{.strides = {1, 2}, .auto_pad = "SAME_LOWER"}},
                           {x({1, 2, 4, 5}), x({2, 2, 2, 4})}},
                          {{{.kernel_shape = {2, 2}, .auto_pad = "VALID"}},
                           {x({1, 2, 4, 5}), x({2, 2, 2, 2})}},
                          {{{.strides = {3}, .dilations = {2}, .pads = {3, 1}}},
                           {x({2, 2, 7}), x({3, 2, 3}), x({3})}},
                          {{{.strides = {1, 2, 1}, .pads = {1, 0, 1, 0, 1, 1}}},
                           {x({1, 2, 3, 4, 3}), x({2, 2, 2, 3, 2})}},
                          {{{.pads = {1, 1, 1, 1}}}, {x({0, 3, 4, 4}), x({2, 3, 3, 3}), x({2})}},
                      },
                  .resized = group_of_widths,
              });
  return room;
}

std::string conv_in_c(const Conv& a, const Shape& x, const Shape& w) {
  Geometry g = conv_geometry(a, x, w);
  // Where every window is one element, a plane is one row.
  bool plain = true;
  for (const WindowAxis& axis : g.axes)
    plain = plain && axis.kernel == 1 && axis.stride == 1 && axis.in == axis.out;
  if (plain) {
    const int64_t size = g.in_size();
    g.axes = {};
    g.axes[2].in = g.axes[2].out = size;
  }
  const auto number = [](int64_t n) { return std::to_string(n); };
  return "{" + window_in_c(g) + ", " + number(x[0]) + ", " + number(a.group) + ", " + number(w[1]) +
         ", " + number(w[0] / a.group) + "}";
}

}  // namespace espalier::ops

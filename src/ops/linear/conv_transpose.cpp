// ConvTranspose, ONNX opset 11: the gradient of a convolution taken as an operator,
//   y[n, m, i * stride + k * dilation - pad] += w[c, m, k] x[n, c', i],   plus b[m].
// The result's extent is stride (in - 1) + output_padding + reach - pads, or output_shape, to which
// the pads are then fitted.
#include "ops/catalogue.h"
#include "ops/common.h"
#include "ops/emit.h"
#include "ops/linear/conv.h"

namespace espalier::ops {
namespace {

struct ConvTranspose : Window {
  int64_t group = 1;
  std::vector<int64_t> output_padding = {};
  std::vector<int64_t> output_shape = {};
};

/// The axis as the convolution from y (in) to x (out) has it.
WindowAxis transposed_axis(const ConvTranspose& a, size_t axis, int64_t extent, int64_t kernel) {
  Window plain = a;
  plain.auto_pad = "NOTSET";
  WindowAxis w = window_axis(plain, axis, extent, kernel);
  w.out = extent;
  const int64_t more = a.output_padding.empty() ? 0 : a.output_padding[axis];
  const int64_t full = w.stride * (extent - 1) + more + w.reach();
  const bool same = a.auto_pad.starts_with("SAME");
  if (a.output_shape.empty() && !same) {
    if (a.auto_pad == "VALID") w.pad_begin = w.pad_end = 0;
    w.in = full - w.pad_begin - w.pad_end;
    return w;
  }
  w.in = a.output_shape.empty() ? extent * w.stride : a.output_shape[axis];
  const int64_t total = std::max<int64_t>(0, full - w.in);
  w.pad_begin = a.auto_pad == "SAME_UPPER" ? total / 2 : total - total / 2;
  w.pad_end = total - w.pad_begin;
  return w;
}

Geometry transposed_geometry(const ConvTranspose& a, const Shape& x, const Shape& w) {
  Geometry g;
  const size_t spatial = x.size() - 2, lead = g.axes.size() - spatial;
  for (size_t i = 0; i < spatial; ++i) g.axes[lead + i] = transposed_axis(a, i, x[i + 2], w[i + 2]);
  return g;
}

void check_lists(const TypesIn& in, const ConvTranspose& a, size_t spatial) {
  check_window(in, a, spatial);
  for (const auto* list : {&a.output_padding, &a.output_shape}) {
    if (!list->empty() && list->size() != spatial)
      in.fail("output_padding and output_shape need one entry for each of " +
              std::to_string(spatial) + " spatial axes");
    for (int64_t v : *list)
      if (v < 0 || v > (int64_t{1} << 30))
        in.fail("output_padding or output_shape " + to_string(*list) +
                " has an entry out of range");
  }
}

Types infer(const ConvTranspose& a, const TypesIn& in) {
  require_float(in, 0);
  require_same_dtype(in, 0, 3);
  require_spatial(in, 0);
  require_rank(in, 1, in[0].rank());
  check_lists(in, a, size_t(in[0].rank()) - 2);
  const TensorType &x = in[0], &w = in[1];
  const Dim &channels = x.dims[1], &own = w.dims[0], &per_group = w.dims[1];
  if (a.group < 1 || (own.known() && own.value() % a.group != 0))
    in.fail("group " + std::to_string(a.group) + " does not divide " + to_string(own) +
            " channels");
  if (channels.known() && own.known() && !(channels == own))
    in.fail("the operand has " + to_string(channels) + " channels, the weight takes " +
            to_string(own));
  const Dim results = per_group.known() ? Dim(per_group.value() * a.group) : Dim::unknown();
  if (in.has(2)) {
    require_rank(in, 2, 1);
    if (results.known() && in[2].dims[0].known() && !(results == in[2].dims[0]))
      in.fail("the bias has " + to_string(in[2].dims[0]) + " entries for " + to_string(results) +
              " result channels");
  }
  Dims dims = {x.dims[0], results};
  for (size_t i = 2; i < x.dims.size(); ++i) {
    if (!a.kernel_shape.empty() && w.dims[i].known() && !w.dims[i].is(a.kernel_shape[i - 2]))
      in.fail("kernel_shape is " + to_string(a.kernel_shape) + ", the weight is " + to_string(w));
    if (w.dims[i].is(0)) in.fail("the weight " + to_string(w) + " has an empty window");
    if (!x.dims[i].known() || !w.dims[i].known()) {
      dims.push_back(a.output_shape.empty() ? Dim::unknown() : Dim(a.output_shape[i - 2]));
      continue;
    }
    const int64_t extent = transposed_axis(a, i - 2, x.dims[i].value(), w.dims[i].value()).in;
    if (extent < 1) in.fail("the pads leave nothing along spatial axis " + std::to_string(i - 2));
    dims.emplace_back(extent);
  }
  return {TensorType(x.dtype, std::move(dims))};
}

template <class Real>
void reference(const ConvTranspose& a, Ref<Real>& r) {
  const Geometry g = transposed_geometry(a, r.shape(0), r.shape(1));
  const auto x = r.real(0), w = r.real(1);
  const auto y = r.out_real(0);
  const int64_t results = r.out_shape(0)[1];
  for (size_t i = 0; i < y.size(); ++i)
    y[i] = r.has(2) ? r.real(2)[size_t(int64_t(i) / g.in_size() % results)] : Real(0);
  if (x.empty()) return;
  // Planes pair up as in the convolution from y to x.
  for_each_plane_pair(r.out_shape(0), r.shape(1), a.group, [&](int64_t yp, int64_t xp, int64_t wp) {
    Real* py = y.data() + yp * g.in_size();
    const Real* pw = w.data() + wp * g.kernel_size();
    const Real* px = x.data() + xp * g.out_size();
    for_each_overlap(g, [&](int64_t k, int64_t from, int64_t to, int64_t count, int64_t step) {
      for (int64_t i = 0; i < count; ++i) py[to + i * step] += pw[k] * px[from + i];
    });
  });
}

/// The convolution from y to x that this operator transposes.
Conv forward_of(const ConvTranspose& a, const Tape& t) {
  const std::string where = describe(t.graph(), t.graph().value(t.y(0)).producer);
  if (!t.type_x(0).is_static() || !t.type_x(1).is_static())
    throw unsupported(where, "the gradient needs known extents", "specialise the graph first");
  const Geometry g = transposed_geometry(a, t.type_x(0).shape(), t.type_x(1).shape());
  const size_t spatial = size_t(t.type_x(0).rank()) - 2;
  Conv c;
  c.group = a.group;
  for (size_t i = 0; i < spatial; ++i) {
    const WindowAxis& w = g.axes[g.axes.size() - spatial + i];
    if (w.in + w.pad_begin + w.pad_end - w.reach() >= w.out * w.stride)
      throw unsupported(where, "has no gradient where output_padding reaches the stride");
    c.kernel_shape.push_back(w.kernel);
    c.strides.push_back(w.stride);
    c.dilations.push_back(w.dilation);
    c.pads.insert(c.pads.begin() + int64_t(i), w.pad_begin);
    c.pads.push_back(w.pad_end);
  }
  return c;
}

Values gradient(const ConvTranspose& a, Builder& b, const Tape& t) {
  const Attributes attrs = Attributes::of(forward_of(a, t));
  Values d(t.inputs(), kNoValue);
  if (t.wants(0)) d[0] = b.op(conv(), attrs, {t.dy(), t.x(1)})[0];
  if (t.wants(1)) d[1] = b.op(conv_grad_weight(), attrs, {t.dy(), t.x(0), shape_of(b, t.x(1))})[0];
  if (t.wants(2)) {
    std::vector<int64_t> summed = {0};
    for (int64_t axis = 2; axis < t.type_y(0).rank(); ++axis) summed.push_back(axis);
    d[2] = b.reduce_sum(t.dy(), summed, false);
  }
  return d;
}

Cost cost(const ConvTranspose&, const TypesIn& in, const Types& out) {
  Cost c = contraction(conv_macs(in[0], in[1]), in, out);
  if (in.has(2)) c.flops += double(out[0].tensor().numel());
  return c;
}

AxisMap axes(const ConvTranspose& a, const TypesIn& in, const Types&) {
  const int64_t channels = in[1].dims[0].value(), per_group = in[1].dims[1].value();
  AxisMap map;
  if (in[0].dims[0].known())
    map.ties.push_back(
        {in[0].dims[0].value(), {AxisPlace::in(0, 0), AxisPlace::out(0, 0)}, !in.has(2)});
  if (a.group == 1) {
    map.ties.push_back({channels, {AxisPlace::in(0, 1), AxisPlace::in(1, 0)}});
    map.ties.push_back({per_group, {AxisPlace::in(1, 1), AxisPlace::out(0, 1)}});
  } else {
    const int64_t inner = channels / a.group;
    map.ties.push_back({a.group,
                        {AxisPlace::in(0, 1, inner), AxisPlace::in(1, 0, inner),
                         AxisPlace::out(0, 1, per_group)}});
  }
  if (in.has(2))
    map.ties.back().places.push_back(AxisPlace::in(2, 0, a.group == 1 ? 1 : per_group));
  return map;
}

Resized group_of_widths(const ConvTranspose& a, const TypesIn& before, const TypesIn& after,
                        const Types&) {
  ConvTranspose r = a;
  const int64_t inner = before[1].dims[0].value() / a.group;
  if (a.group > 1 && inner > 0) r.group = std::max<int64_t>(1, after[1].dims[0].value() / inner);
  return {Attributes::of(r), {}};
}

// Result channels of different groups share an index of the weight's axis: no scale for each.
QuantForm quantize(const ConvTranspose& a, const TypesIn&) {
  if (a.group > 1) return {.activations = {0, 1}};
  return {.activations = {0}, .weight = 1, .weight_axis = 1, .bias = 2};
}

void emit(const ConvTranspose& a, CWriter& c) {
  require_f32(c);
  if (c.out_size(0) == 0) return;
  const Shape x = c.shape(0), w = c.shape(1);
  c.line("static const esp_conv_transpose shape = {" + window_in_c(transposed_geometry(a, x, w)) +
         ", " + std::to_string(x[0]) + ", " + std::to_string(a.group) + ", " +
         std::to_string(w[0] / a.group) + ", " + std::to_string(w[1]) + "};");
  c.call("conv_transpose.h", "esp_conv_transpose_f32",
         {"&shape", c.in(0), c.in(1), c.in(2), c.out(0)});
}

}  // namespace

const Room& conv_transpose() {
  using T = ConvTranspose;
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  static const Room
      room =
          make_room<T>(
              {
                  .onnx = {"ConvTranspose", 11},
                  .arity = {2, 3},
                  .attributes = window_fields<T>(false, true,
                                                 {{"group", &T::group},
                                                  {"output_padding", &T::output_padding},
                                                  {"output_shape", &T::output_shape}}),
                  .infer = infer,
                  .reference = ESP_REFERENCE(T, reference),
                  .gradient = gradient,
                  .cost = cost,
                  .axes = axes,
                  .quantize = quantize,
                  .pointwise = not_pointwise(),
                  .expand = no_expand(),
                  .emit = emit,
                  .samples =
                      {
                          {{}, {x({1, 2, 3, 3}), x({2, 4, 3, 3}), x({4})}},
                          {{{.strides = {3, 2}, .pads = {1, 0, 0, 2}}, 1, {1, 1}},
                           {x({2, 2, 3, 3}), x({2, 3, 3, 3})}},
                          {{{.strides = {2, 2}, .dilations = {1, 2}}, 2},
                           {x({1, 4, 3, 2}), x({4, 3, 2, 2}), x({6})}},
                          {{{.strides = {2, 2}, .auto_pad = "SAME_UPPER"}},
                           {x({1, 2, 3, 3}), x({2, 2, 3, 3})}},
                          {{{.strides = {2, 2}, .auto_pad = "SAME_LOWER"}},
                           {x({1, 2, 3, 3}), x({2, 2, 3, 3})}},
                          {{{.strides = {3, 2}}, 1, {1, 1}, {10, 8}},
                           {x({1, 1, 3, 3}), x({1, 2, 3, 3})}},
                          {{{.strides = {2}, .pads = {1, 1}}, 3},
                           {x({1, 3, 4}), x({3, 1, 4}), x({3})}},
                          {{{.strides = {2, 3}}}, {x({2, 3, 3, 2}), x({3, 4, 2, 3}), x({4})}},
                          {{{.strides = {2}}}, {x({2, 3, 4}), x({3, 5, 2})}},
                          {{{.strides = {2, 1, 2}}}, {x({1, 2, 2, 3, 2}), x({2, 3, 2, 1, 2})}},
                          {{}, {x({0, 2, 3, 3}), x({2, 4, 3, 3}), x({4})}},
                      },
                  .resized = group_of_widths,
              });
  return room;
}

}  // namespace espalier::ops

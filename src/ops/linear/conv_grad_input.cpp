// espalier.ConvGradInput(dy, w, x_shape): the gradient of Conv with respect to its operand,
//   dx[n, c', o * stride + k * dilation - pad] += w[m, c, k] dy[n, m, o].
// Attributes are Conv's.
#include "ops/catalogue.h"
#include "ops/common.h"
#include "ops/emit.h"
#include "ops/linear/conv.h"

namespace espalier::ops {
namespace {

Types infer(const Conv& a, const TypesIn& in) {
  require_float(in, 0);
  require_same_dtype(in, 0, 2);
  TensorType x(in[0].dtype, dims_operand(in, 2));
  require_like_result(in, 0, conv_result(in, a, x, in[1]));
  return {std::move(x)};
}

template <class Real>
void reference(const Conv& a, Ref<Real>& r) {
  const Geometry g = conv_geometry(a, r.out_shape(0), r.shape(1));
  const auto dy = r.real(0), w = r.real(1);
  const auto dx = r.out_real(0);
  std::fill(dx.begin(), dx.end(), Real(0));
  if (dy.empty()) return;
  for_each_plane_pair(r.out_shape(0), r.shape(1), a.group, [&](int64_t xp, int64_t yp, int64_t wp) {
    Real* px = dx.data() + xp * g.in_size();
    const Real* pw = w.data() + wp * g.kernel_size();
    const Real* py = dy.data() + yp * g.out_size();
    for_each_overlap(g, [&](int64_t k, int64_t y, int64_t x, int64_t count, int64_t step) {
      for (int64_t i = 0; i < count; ++i) px[x + i * step] += pw[k] * py[y + i];
    });
  });
}

// Linear in dy and in w: <g, dx> = <Conv(g, w), dy>.
Values gradient(const Conv& a, Builder& b, const Tape& t) {
  const Attributes attrs = Attributes::of(a);
  Values d(3, kNoValue);
  if (t.wants(0)) d[0] = b.op(conv(), attrs, {t.dy(), t.x(1)})[0];
  if (t.wants(1)) d[1] = b.op(conv_grad_weight(), attrs, {t.dy(), t.x(0), shape_of(b, t.x(1))})[0];
  return d;
}

Cost cost(const Conv&, const TypesIn& in, const Types& out) {
  return contraction(conv_macs(in[0], in[1]), in, out);
}

void emit(const Conv& a, CWriter& c) {
  if (c.dtype(0) != DType::f32) c.refuse("its C function takes f32");
  if (c.out_size(0) == 0) return;
  const Shape x = c.out_shape(0), w = c.shape(1);
  c.line("static const esp_conv_transpose shape = {" + window_in_c(conv_geometry(a, x, w)) + ", " +
         std::to_string(x[0]) + ", " + std::to_string(a.group) + ", " +
         std::to_string(w[0] / a.group) + ", " + std::to_string(w[1]) + "};");
  c.call("conv_transpose.h", "esp_conv_transpose_f32", {"&shape", c.in(0), c.in(1), "0", c.out(0)});
}

}  // namespace

const Room& conv_grad_input() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  const auto shape = [](Shape s) { return OperandSpec::list(std::move(s)); };
  static const Room room = make_room<Conv>({
      .onnx = {"ConvGradInput", 1, "espalier"},
      .arity = {3, 3},
      .attributes = conv_fields(),
      .infer = infer,
      .reference = ESP_REFERENCE(Conv, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = Refuse{"cut the network before it is differentiated"},
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{{.pads = {1, 1, 1, 1}}},
                   {x({2, 4, 4, 4}), x({4, 3, 3, 3}), shape({2, 3, 4, 4})}},
                  {{{.strides = {2, 2}, .pads = {1, 0, 0, 1}}, 2},
                   {x({1, 4, 2, 2}), x({4, 1, 3, 3}), shape({1, 2, 5, 4})}},
                  {{{.strides = {2}, .dilations = {2}, .pads = {1, 2}}},
                   {x({1, 3, 4}), x({3, 2, 3}), shape({1, 2, 8})}},
                  {{}, {x({0, 3, 2}), x({3, 2, 3}), shape({0, 2, 4})}}},
  });
  return room;
}

}  // namespace espalier::ops

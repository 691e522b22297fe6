// espalier.ConvGradWeight(x, dy, w_shape): the gradient of Conv with respect to its weight,
//   dw[m, c, k] = sum_{n, o} dy[n, m, o] x[n, c', o * stride + k * dilation - pad].
// Attributes are Conv's. Of bf16 operands it is f32, as it was summed: what reads it is an
// optimiser.
#include "ops/catalogue.h"
#include "ops/common.h"
#include "ops/emit.h"
#include "ops/linear/conv.h"

namespace espalier::ops {
namespace {

Types infer(const Conv& a, const TypesIn& in) {
  require_float(in, 0);
  require_same_dtype(in, 0, 2);
  TensorType w(in[0].dtype, dims_operand(in, 2));
  require_like_result(in, 1, conv_result(in, a, in[0], w));
  if (w.dtype == DType::bf16) w.dtype = DType::f32;
  return {std::move(w)};
}

template <class Real>
void reference(const Conv& a, Ref<Real>& r) {
  const Geometry g = conv_geometry(a, r.shape(0), r.out_shape(0));
  const auto x = r.real(0), dy = r.real(1);
  const auto dw = r.out_real(0);
  std::fill(dw.begin(), dw.end(), Real(0));
  if (dy.empty()) return;
  for_each_plane_pair(r.shape(0), r.out_shape(0), a.group, [&](int64_t xp, int64_t yp, int64_t wp) {
    const Real* px = x.data() + xp * g.in_size();
    Real* pw = dw.data() + wp * g.kernel_size();
    const Real* py = dy.data() + yp * g.out_size();
    for_each_overlap(g, [&](int64_t k, int64_t to, int64_t from, int64_t count, int64_t step) {
      Real sum = 0;
      for (int64_t i = 0; i < count; ++i) sum += py[to + i] * px[from + i * step];
      pw[k] += sum;
    });
  });
}

// Linear in x and in dy: <g, dw> = <Conv(x, g), dy>.
Values gradient(const Conv& a, Builder& b, const Tape& t) {
  const Attributes attrs = Attributes::of(a);
  Values d(3, kNoValue);
  if (!t.wants(0) && !t.wants(1)) return d;
  const ValueId w = b.cast(t.dy(), t.type_x(0).dtype);
  if (t.wants(0)) d[0] = b.op(conv_grad_input(), attrs, {t.x(1), w, shape_of(b, t.x(0))})[0];
  if (t.wants(1)) d[1] = b.op(conv(), attrs, {t.x(0), w})[0];
  return d;
}

Cost cost(const Conv&, const TypesIn& in, const Types& out) {
  return contraction(conv_macs(in[1], out[0].tensor()), in, out);
}

void emit(const Conv& a, CWriter& c) {
  if (c.dtype(0) != DType::f32) c.refuse("its C function takes f32");
  if (c.out_size(0) == 0) return;
  c.line("static const esp_conv shape = " + conv_in_c(a, c.shape(0), c.out_shape(0)) + ";");
  c.call("conv_grad.h", "esp_conv_grad_weight_f32", {"&shape", c.in(0), c.in(1), c.out(0)});
}

}  // namespace

const Room& conv_grad_weight() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  const auto shape = [](Shape s) { return OperandSpec::list(std::move(s)); };
  static const Room room = make_room<Conv>({
      .onnx = {"ConvGradWeight", 1, "espalier"},
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
                   {x({2, 3, 4, 4}), x({2, 4, 4, 4}), shape({4, 3, 3, 3})}},
                  {{{.strides = {2, 2}, .pads = {1, 0, 0, 1}}, 2},
                   {x({1, 2, 5, 4}), x({1, 4, 2, 2}), shape({4, 1, 3, 3})}},
                  {{{.strides = {2}, .dilations = {2}, .pads = {1, 2}}},
                   {x({1, 2, 8}), x({1, 3, 4}), shape({3, 2, 3})}},
                  {{}, {x({0, 2, 4}), x({0, 3, 2}), shape({3, 2, 3})}}},
  });
  return room;
}

}  // namespace espalier::ops

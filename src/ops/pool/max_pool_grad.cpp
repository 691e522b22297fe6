// espalier.MaxPoolGrad(x, dy): each window hands its gradient to its largest element, of equal ones
// to the first in row-major order. Attributes are MaxPool's.
#include "ops/common.h"
#include "ops/emit.h"
#include "ops/pool/pool.h"

namespace espalier::ops {
namespace {

Types infer(const MaxPool& a, const TypesIn& in) {
  require_float(in, 0);
  require_same_dtype(in, 0, 2);
  require_like_result(in, 1, TensorType(in[0].dtype, pool_dims(in, a, a.ceil_mode, in[0])));
  return {in[0]};
}

template <class Real>
void reference(const MaxPool& a, Ref<Real>& r) {
  const Geometry g = pool_geometry(a, r.shape(0));
  const auto x = r.real(0), dy = r.real(1);
  const auto dx = r.out_real(0);
  std::fill(dx.begin(), dx.end(), Real(0));
  std::vector<int64_t> largest(size_t(g.out_size()));
  const int64_t planes = r.shape(0)[0] * r.shape(0)[1];
  for (int64_t p = 0; p < planes; ++p) {
    const Real* px = x.data() + p * g.in_size();
    std::fill(largest.begin(), largest.end(), -1);
    for_each_overlap(g, [&](int64_t, int64_t y, int64_t from, int64_t count, int64_t step) {
      for (int64_t i = 0; i < count; ++i) {
        int64_t& best = largest[size_t(y + i)];
        const int64_t at = from + i * step;
        if (best < 0 || px[at] > px[best]) best = at;
      }
    });
    for (int64_t i = 0; i < g.out_size(); ++i)
      if (const int64_t at = largest[size_t(i)]; at >= 0)
        dx[size_t(p * g.in_size() + at)] += dy[size_t(p * g.out_size() + i)];
  }
}

Cost cost(const MaxPool& a, const TypesIn& in, const Types& out) {
  const double windows = double(in[1].numel());
  return {0, windows * double(product(a.kernel_shape, 0, a.kernel_shape.size()) + 1),
          traffic(in, out)};
}

void emit(const MaxPool& a, CWriter& c) {
  require_f32(c);
  if (c.out_size(0) == 0) return;
  c.line("static const esp_window window = " + window_in_c(pool_geometry(a, c.shape(0))) + ";");
  c.call("pool_grad.h", "esp_max_pool_grad_f32",
         {"&window", std::to_string(c.shape(0)[0] * c.shape(0)[1]), c.in(0), c.in(1), c.out(0)});
}

}  // namespace

const Room& max_pool_grad() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  static const Room room = make_room<MaxPool>({
      .onnx = {"MaxPoolGrad", 1, "espalier"},
      .arity = {2, 2},
      .attributes = max_pool_fields(),
      .infer = infer,
      .reference = ESP_REFERENCE(MaxPool, reference),
      .gradient = Refuse{"a second derivative of a maximum is not offered"},
      .cost = cost,
      .axes = Refuse{"cut the network before it is differentiated"},
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{{.kernel_shape = {2, 2}, .strides = {2, 2}}},
                   {x({2, 3, 4, 6}), x({2, 3, 2, 3})}},
                  {{{.kernel_shape = {3}, .strides = {2}, .pads = {1, 1}}},
                   {x({1, 2, 5}), x({1, 2, 3})}},
                  {{{.kernel_shape = {2, 2}}}, {x({0, 3, 4, 4}), x({0, 3, 3, 3})}}},
  });
  return room;
}

}  // namespace espalier::ops

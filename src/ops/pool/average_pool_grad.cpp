// espalier.AveragePoolGrad(dy, x_shape): each window spreads its gradient evenly over the elements
// it averaged. Attributes are AveragePool's.
#include "ops/catalogue.h"
#include "ops/common.h"
#include "ops/emit.h"
#include "ops/pool/pool.h"

namespace espalier::ops {
namespace {

Types infer(const AveragePool& a, const TypesIn& in) {
  require_float(in, 0);
  TensorType x(in[0].dtype, dims_operand(in, 1));
  require_like_result(in, 0, TensorType(x.dtype, pool_dims(in, a, a.ceil_mode, x)));
  return {std::move(x)};
}

template <class Real>
void reference(const AveragePool& a, Ref<Real>& r) {
  const Geometry g = pool_geometry(a, r.out_shape(0));
  const std::vector<int64_t> counts = window_counts(g, a.count_include_pad);
  const auto dy = r.real(0);
  const auto dx = r.out_real(0);
  std::fill(dx.begin(), dx.end(), Real(0));
  const int64_t planes = r.shape(0)[0] * r.shape(0)[1];
  for (int64_t p = 0; p < planes; ++p) {
    Real* px = dx.data() + p * g.in_size();
    const Real* py = dy.data() + p * g.out_size();
    for_each_overlap(g, [&](int64_t, int64_t y, int64_t x, int64_t count, int64_t step) {
      for (int64_t i = 0; i < count; ++i)
        px[x + i * step] += py[y + i] / Real(counts[size_t(y + i)]);
    });
  }
}

// Linear in dy: <g, dx> = <AveragePool(g), dy>.
Values gradient(const AveragePool& a, Builder& b, const Tape& t) {
  return {b.op(average_pool(), Attributes::of(a), {t.dy()})[0], kNoValue};
}

Cost cost(const AveragePool& a, const TypesIn& in, const Types& out) {
  const double windows = double(in[0].numel());
  return {0, windows * double(product(a.kernel_shape, 0, a.kernel_shape.size()) + 1),
          traffic(in, out)};
}

void emit(const AveragePool& a, CWriter& c) {
  if (c.dtype(0) != DType::f32) c.refuse("its C function takes f32");
  if (c.out_size(0) == 0) return;
  const Geometry g = pool_geometry(a, c.out_shape(0));
  const Divisors by = divisors_in_c(c, window_counts(g, a.count_include_pad));
  c.line("static const esp_window window = " + window_in_c(g) + ";");
  c.call("pool_grad.h", "esp_average_pool_grad_f32",
         {"&window", std::to_string(c.shape(0)[0] * c.shape(0)[1]),
          by.table.empty() ? "0" : by.table, by.alike, c.in(0), c.out(0)});
}

}  // namespace

const Room& average_pool_grad() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  const auto shape = [](Shape s) { return OperandSpec::list(std::move(s)); };
  static const Room room = make_room<AveragePool>({
      .onnx = {"AveragePoolGrad", 1, "espalier"},
      .arity = {2, 2},
      .attributes = average_pool_fields(),
      .infer = infer,
      .reference = ESP_REFERENCE(AveragePool, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = Refuse{"cut the network before it is differentiated"},
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{{.kernel_shape = {2, 2}, .strides = {2, 2}}},
                   {x({2, 3, 2, 3}), shape({2, 3, 4, 6})}},
                  {{{.kernel_shape = {3}, .strides = {2}, .pads = {1, 1}}, false, true},
                   {x({1, 2, 3}), shape({1, 2, 5})}},
                  {{{.kernel_shape = {2, 2}}}, {x({0, 3, 3, 3}), shape({0, 3, 4, 4})}}},
  });
  return room;
}

}  // namespace espalier::ops

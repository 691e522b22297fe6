// AveragePool, ONNX opset 19: the mean of each window, over the elements inside the operand or,
// with count_include_pad, over those inside the padded operand.
#include "ops/catalogue.h"
#include "ops/common.h"
#include "ops/emit.h"
#include "ops/pool/pool.h"

namespace espalier::ops {
namespace {

Types infer(const AveragePool& a, const TypesIn& in) {
  require_float(in, 0);
  return {TensorType(in[0].dtype, pool_dims(in, a, a.ceil_mode, in[0]))};
}

template <class Real>
void reference(const AveragePool& a, Ref<Real>& r) {
  const Geometry g = pool_geometry(a, r.shape(0));
  const std::vector<int64_t> counts = window_counts(g, a.count_include_pad);
  const auto x = r.real(0);
  const auto y = r.out_real(0);
  std::fill(y.begin(), y.end(), Real(0));
  const int64_t planes = r.shape(0)[0] * r.shape(0)[1];
  for (int64_t p = 0; p < planes; ++p) {
    const Real* px = x.data() + p * g.in_size();
    Real* py = y.data() + p * g.out_size();
    for_each_overlap(g, [&](int64_t, int64_t to, int64_t from, int64_t count, int64_t step) {
      for (int64_t i = 0; i < count; ++i) py[to + i] += px[from + i * step];
    });
    for (int64_t i = 0; i < g.out_size(); ++i)
      py[i] /= Real(std::max<int64_t>(1, counts[size_t(i)]));
  }
}

Values gradient(const AveragePool& a, Builder& b, const Tape& t) {
  return b.op(average_pool_grad(), Attributes::of(resolved_pool(a, t.type_x(0))),
              {t.dy(), shape_of(b, t.x(0))});
}

Cost cost(const AveragePool& a, const TypesIn& in, const Types& out) {
  return pool_cost(in, out, a.kernel_shape);
}

AxisMap axes(const AveragePool&, const TypesIn& in, const Types&) { return pool_axes(in); }

QuantForm quantize(const AveragePool&, const TypesIn&) {
  return {.activations = {0}, .result = QuantForm::Result::kSameAsInput};
}

void emit(const AveragePool& a, CWriter& c) {
  const Geometry g = pool_geometry(a, c.shape(0));
  const Divisors by = divisors_in_c(c, window_counts(g, a.count_include_pad));
  const std::string type = c_type(c.dtype(0));
  emit_windows(
      c, g, c.shape(0)[0] * c.shape(0)[1], [&] { c.line(type + " sum = 0;"); },
      [&](const std::string& at) { c.line("sum += " + c.load(0, at) + ";"); },
      [&](const std::string& to) {
        const std::string count =
            by.table.empty() ? by.alike
                             : by.table + "[(" + to + ") % " + std::to_string(g.out_size()) + "]";
        c.store(0, to, "sum / " + count);
      });
}

}  // namespace

const Room& average_pool() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  static const Room
      room =
          make_room<AveragePool>(
              {
                  .onnx = {"AveragePool", 19},
                  .arity = {1, 1},
                  .attributes = average_pool_fields(),
                  .infer = infer,
                  .reference = ESP_REFERENCE(AveragePool, reference),
                  .gradient = gradient,
                  .cost = cost,
                  .axes = axes,
                  .quantize = quantize,
                  .pointwise = not_pointwise(),
                  .expand = no_expand(),
                  .emit = emit,
                  .samples =
                      {
                          {{{.kernel_shape = {2, 2}, .strides = {2, 2}}}, {x({2, 3, 4, 6})}},
                          {{{.kernel_shape = {3, 3}, .strides = {2, 2}, .pads = {1, 1, 1, 1}}},
                           {x({1, 2, 5, 6})}},
                          {{{.kernel_shape = {3, 3}, .strides = {2, 2}, .pads = {1, 1, 1, 1}},
                            true,
                            true},
                           {x({1, 2, 4, 6})}},
                          {{{.kernel_shape = {2, 3}, .strides = {2, 2}}, true}, {x({1, 2, 5, 6})}},
                          {{{.kernel_shape = {3, 2}, .strides = {2, 1}, .auto_pad = "SAME_UPPER"}},
                           {x({1, 2, 4, 5})}},
                          {{{.kernel_shape = {3, 2}, .auto_pad = "SAME_LOWER"}, false, true},
                           {x({1, 2, 4, 5})}},
                          {{{.kernel_shape = {2}, .auto_pad = "VALID"}}, {x({2, 3, 5})}},
                          {{{.kernel_shape = {2, 1, 2}, .strides = {1, 2, 2}}},
                           {x({1, 2, 3, 4, 4})}},
                          {{{.kernel_shape = {2, 2}}}, {x({0, 3, 4, 4})}},
                          {{{.kernel_shape = {2, 2}, .dilations = {2, 1}, .pads = {1, 0, 1, 0}}},
                           {x({1, 2, 5, 4})}},
                      },
              });
  return room;
}

}  // namespace espalier::ops

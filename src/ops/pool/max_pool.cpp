// MaxPool, ONNX opset 12: the largest element of each window; of equal ones the first in row-major
// order. Padding never wins. Results: Y and, optionally, Indices: where in the whole of x (flat,
// row-major or, with storage_order 1, column-major inside a plane) the largest one stands.
#include <limits>

#include "ops/catalogue.h"
#include "ops/common.h"
#include "ops/emit.h"
#include "ops/pool/pool.h"

namespace espalier::ops {
namespace {

Types infer(const MaxPool& a, const TypesIn& in) {
  const DType t = in[0].dtype;
  if (!is_float(t) && t != DType::i8 && t != DType::u8)
    in.fail("operand 0 is " + std::string(name_of(t)) + ", a float type, i8 or u8 is needed");
  if (a.storage_order != 0 && a.storage_order != 1)
    in.fail("storage_order is " + std::to_string(a.storage_order) + ", 0 or 1 is needed");
  Dims dims = pool_dims(in, a, a.ceil_mode, in[0]);
  return {TensorType(t, dims), TensorType(DType::i64, dims)};
}

/// A row-major position in a plane counted column by column.
int64_t column_major(const Geometry& g, int64_t position) {
  const auto& [d, h, w] = g.axes;
  const int64_t x = position % w.in, y = position / w.in % h.in, z = position / (w.in * h.in);
  return (x * h.in + y) * d.in + z;
}

template <class Real>
void reference(const MaxPool& a, Ref<Real>& r) {
  const Geometry g = pool_geometry(a, r.shape(0));
  const auto where = r.out_ints(1);
  std::fill(where.begin(), where.end(), -1);
  const auto run = [&](auto x, auto y) {
    using T = typename decltype(y)::value_type;
    using Limits = std::numeric_limits<T>;
    std::fill(y.begin(), y.end(), Limits::has_infinity ? -Limits::infinity() : Limits::lowest());
    const int64_t planes = r.shape(0)[0] * r.shape(0)[1];
    for (int64_t p = 0; p < planes; ++p) {
      const auto* px = x.data() + p * g.in_size();
      auto* py = y.data() + p * g.out_size();
      int64_t* pi = where.data() + p * g.out_size();
      for_each_overlap(g, [&](int64_t, int64_t to, int64_t from, int64_t count, int64_t step) {
        for (int64_t i = 0; i < count; ++i) {
          const int64_t at = from + i * step;
          if (pi[to + i] >= 0 && !(px[at] > py[to + i])) continue;
          py[to + i] = px[at];
          pi[to + i] = at;
        }
      });
      for (int64_t i = 0; i < g.out_size(); ++i)
        if (pi[i] >= 0)
          pi[i] = p * g.in_size() + (a.storage_order ? column_major(g, pi[i]) : pi[i]);
    }
  };
  if (r.is_real(0))
    run(r.real(0), r.out_real(0));
  else
    run(r.ints(0), r.out_ints(0));
}

Values gradient(const MaxPool& a, Builder& b, const Tape& t) {
  return b.op(max_pool_grad(), Attributes::of(resolved_pool(a, t.type_x(0))), {t.x(0), t.dy()});
}

Cost cost(const MaxPool& a, const TypesIn& in, const Types& out) {
  return pool_cost(in, out, a.kernel_shape);
}

// Indices count over all batches and channels: where they are read, nothing can be cut.
AxisMap axes(const MaxPool&, const TypesIn& in, const Types& out) {
  return out.size() > 1 ? AxisMap{} : pool_axes(in);
}

QuantForm quantize(const MaxPool&, const TypesIn&) {
  return {.activations = {0}, .result = QuantForm::Result::kSameAsInput};
}

void emit(const MaxPool& a, CWriter& c) {
  const Geometry g = pool_geometry(a, c.shape(0));
  const DType t = c.dtype(0);
  const std::string least = is_float(t) ? "-INFINITY" : t == DType::i8 ? "-128" : "0";
  emit_windows(
      c, g, c.shape(0)[0] * c.shape(0)[1],
      [&] {
        c.line(c_type(t) + " best = " + least + ";");
        c.line("int where = -1;");
      },
      [&](const std::string& at) {
        c.line("const " + c_type(t) + " x = " + c.load(0, at) + ";");
        c.block("if (where < 0 || x > best)", [&] {
          c.line("best = x;");
          c.line("where = " + at + ";");
        });
      },
      [&](const std::string& to) {
        c.store(0, to, "best");
        if (!c.wants(1)) return;
        std::string where = "where";
        const auto& [d, h, w] = g.axes;
        if (a.storage_order) {
          const auto number = [](int64_t n) { return std::to_string(n); };
          where = "where < 0 ? -1 : " +
                  plus(times("p", g.in_size()),
                       "(where % " + number(w.in) + " * " + number(h.in) + " + where / " +
                           number(w.in) + " % " + number(h.in) + ") * " + number(d.in) +
                           " + where % " + number(g.in_size()) + " / " + number(w.in * h.in));
        }
        c.store(1, to, where);
      });
}

}  // namespace

const Room& max_pool() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  static const Room
      room =
          make_room<MaxPool>(
              {
                  .onnx = {"MaxPool", 12},
                  .arity = {1, 1, 1, 2},
                  .attributes = max_pool_fields(),
                  .infer = infer,
                  .reference = ESP_REFERENCE(MaxPool, reference),
                  .gradient = gradient,
                  .cost = cost,
                  .axes = axes,
                  .quantize = quantize,
                  .pointwise = not_pointwise(),
                  .expand = no_expand(),
                  .emit = emit,
                  .samples =
                      {
                          {{{.kernel_shape = {2, 2}, .strides = {2, 2}}}, {x({2, 3, 4, 6})}, 1},
                          {{{.kernel_shape = {3, 3}, .strides = {2, 2}, .pads = {1, 1, 1, 1}}},
                           {x({1, 2, 5, 6})}},
                          {{{.kernel_shape = {2, 3}, .strides = {2, 2}}, true},
                           {x({1, 2, 5, 6})},
                           1},
                          {{{.kernel_shape = {1, 1}, .strides = {2, 2}}, true},
                           {x({1, 2, 4, 4})},
                           1},
                          {{{.kernel_shape = {2, 2}, .dilations = {2, 3}, .pads = {1, 0, 0, 2}},
                            false,
                            1},
                           {x({1, 2, 5, 6})}},
                          {{{.kernel_shape = {3, 2}, .strides = {2, 1}, .auto_pad = "SAME_UPPER"}},
                           {x({1, 2, 4, 5})},
                           1},
                          {{{.kernel_shape = {3, 2}, .strides = {2, 1}, .auto_pad = "SAME_LOWER"}},
                           {x({1, 2, 4, 5})},
                           1},
                          {{{.kernel_shape = {2}, .auto_pad = "VALID"}}, {x({2, 3, 5})}, 1},
                          {{{.kernel_shape = {2, 1, 2}, .strides = {1, 2, 2}}},
                           {x({1, 2, 3, 4, 4})},
                           1},
                          {{{.kernel_shape = {2, 2}}}, {x({0, 3, 4, 4})}, 1},
                          {{{.kernel_shape = {2, 2}, .pads = {1, 1, 0, 0}}},
                           {OperandSpec::ranged({1, 2, 3, 3}, -100, 100, DType::i8)},
                           1},
                      },
              });
  return room;
}

}  // namespace espalier::ops

// Gemm, ONNX opset 13: y = alpha A' B' + beta C, with A' = A or its transpose, B' likewise, and C
// (optional) broadcast to [m, n].
#include "ops/linear/gemm.h"

#include <cmath>

#include "ops/common.h"
#include "ops/emit.h"
#include "ops/quantization/integer_c.h"

namespace espalier::ops {
namespace {

Types infer(const Gemm& a, const TypesIn& in) {
  require_same_dtype(in, 0, 3);
  require_rank(in, 0, 2);
  require_rank(in, 1, 2);
  const Dim &m = in[0].dims[a.trans_a], &ka = in[0].dims[!a.trans_a];
  const Dim &kb = in[1].dims[a.trans_b], &n = in[1].dims[!a.trans_b];
  if (ka.known() && kb.known() && !(ka == kb))
    in.fail("the inner extents " + to_string(ka) + " and " + to_string(kb) + " differ",
            "operands are " + to_string(in[0]) + " and " + to_string(in[1]));
  const TensorType y(in[0].dtype, Dims{m, n});
  if (in.has(2)) {
    const Dims& c = in[2].dims;
    const bool fits = c.size() <= 2 && [&] {
      for (size_t i = 0; i < c.size(); ++i) {
        const Dim& d = y.dims[2 - c.size() + i];
        if (c[i].known() && d.known() && !c[i].is(1) && !(c[i] == d)) return false;
      }
      return true;
    }();
    if (!fits)
      in.fail("operand 2 is " + to_string(in[2]) + " and does not broadcast to " + to_string(y));
  }
  return {y};
}

template <class Real>
void reference(const Gemm& a, Ref<Real>& r) {
  const int64_t m = r.out_shape(0)[0], n = r.out_shape(0)[1], k = r.shape(0)[!a.trans_a];
  const int64_t a_row = a.trans_a ? 1 : k, a_col = a.trans_a ? m : 1;
  const int64_t b_row = a.trans_b ? 1 : n, b_col = a.trans_b ? k : 1;
  const auto run = [&](auto xa, auto xb, auto c, auto y) {
    using T = typename decltype(y)::value_type;
    using Sum = std::conditional_t<std::is_integral_v<T>, uint64_t, T>;  // integers wrap around
    if (r.has(2))
      for_each_offset<1>(r.out_shape(0), {broadcast_strides(r.shape(2), r.out_shape(0))},
                         [&](int64_t i, const std::array<int64_t, 1>& o) {
                           y[size_t(i)] = T(Real(a.beta) * Real(c[size_t(o[0])]));
                         });
    else
      std::fill(y.begin(), y.end(), T(0));
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        Sum sum = 0;
        for (int64_t l = 0; l < k; ++l)
          sum += Sum(xa[size_t(i * a_row + l * a_col)]) * Sum(xb[size_t(l * b_row + j * b_col)]);
        T& to = y[size_t(i * n + j)];
        to = T(Sum(to) + Sum(T(Real(a.alpha) * Real(T(sum)))));
      }
  };
  if (r.is_real(0))
    run(r.real(0), r.real(1), r.has(2) ? r.real(2) : std::span<const Real>(), r.out_real(0));
  else
    run(r.ints(0), r.ints(1), r.has(2) ? r.ints(2) : std::span<const int64_t>(), r.out_ints(0));
}

ValueId scaled(Builder& b, ValueId v, float by) { return by == 1.0f ? v : b.mul(v, by); }

// dA' = alpha dy B'^T, dB' = alpha A'^T dy, as products whose operands are transposed in place.
Values gradient(const Gemm& a, Builder& b, const Tape& t) {
  const auto product = [&](ValueId left, ValueId right, bool trans_left, bool trans_right) {
    return b.one(
        "Gemm", {left, right},
        {{"alpha", a.alpha}, {"transA", int64_t{trans_left}}, {"transB", int64_t{trans_right}}});
  };
  const ValueId dy = t.dy();
  Values d(t.inputs(), kNoValue);
  if (t.wants(0))
    d[0] =
        a.trans_a ? product(t.x(1), dy, a.trans_b, true) : product(dy, t.x(1), false, !a.trans_b);
  if (t.wants(1))
    d[1] =
        a.trans_b ? product(dy, t.x(0), true, a.trans_a) : product(t.x(0), dy, !a.trans_a, false);
  if (t.wants(2)) d[2] = scaled(b, b.unbroadcast(dy, t.x(2)), a.beta);
  return d;
}

Cost cost(const Gemm& a, const TypesIn& in, const Types& out) {
  const double results = double(out[0].tensor().numel());
  Cost c = contraction(results * double(in[0].dims[!a.trans_a].value()), in, out);
  c.flops += results * ((a.alpha != 1) + (in.has(2) ? 1 + (a.beta != 1) : 0));
  return c;
}

AxisMap axes(const Gemm& a, const TypesIn& in, const Types& out) {
  const TensorType& y = out[0].tensor();
  AxisMap map;
  map.ties.push_back(
      {in[1].dims[a.trans_b].value(), {AxisPlace::in(0, !a.trans_a), AxisPlace::in(1, a.trans_b)}});
  for (int axis = 0; axis < 2; ++axis) {
    const Dim& extent = y.dims[size_t(axis)];
    if (!extent.known()) continue;
    AxisTie tie{extent.value(),
                {axis == 0 ? AxisPlace::in(0, a.trans_a) : AxisPlace::in(1, !a.trans_b),
                 AxisPlace::out(0, axis)}};
    if (in.has(2)) {
      const int64_t own = axis - (2 - in[2].rank());
      if (own >= 0 && in[2].dims[size_t(own)].is(tie.count))
        tie.places.push_back(AxisPlace::in(2, own));
      else
        tie.zero_passes = false;
    }
    map.ties.push_back(std::move(tie));
  }
  return map;
}

// An integer bias is added to the plain product: one entry for each column, no scaling.
QuantForm quantize(const Gemm& a, const TypesIn& in) {
  if (!in.constant(1)) return {.activations = {0, 1}};
  const auto row = [&](const TensorType& c) {
    return c.rank() >= 1 && c.dims.back() == in[1].dims[!a.trans_b] &&
           (c.rank() == 1 || c.dims[0].is(1));
  };
  const bool bias = a.alpha == 1 && a.beta == 1 && (!in.has(2) || row(in[2]));
  return {.activations = {0}, .weight = 1, .weight_axis = a.trans_b ? 0 : 1, .bias = bias ? 2 : -1};
}

void emit(const Gemm& a, CWriter& c) {
  const Shape y = c.out_shape(0);
  const int64_t m = y[0], n = y[1], k = c.shape(0)[!a.trans_a];
  if (m * n == 0) return;
  MatmulInC p{m, k, n, a.trans_a ? 1 : k, a.trans_a ? m : 1, a.trans_b ? 1 : n, a.trans_b ? k : 1};
  const bool bias_fits = !c.has(2) || (a.beta == 1 && (c.size(2) == n || c.size(2) == 1) &&
                                       (c.shape(2).empty() || c.shape(2).back() == c.size(2)));
  if (runs_on_integers(c, a.trans_b ? 0 : 1) && bias_fits) {
    const RealOfSum real = real_of_sum(c, double(a.alpha));
    return emit_integer_matmul(
        c, p, bytes_in_c(*c.quantised(0)), weights_in_c(c, *c.quantised(1)), "0",
        [&](const std::string& at, const std::string& sum, const std::string& column) {
          c.store(0, at, real(sum, column));
        });
  }
  if (c.has(2)) {
    const std::string to = c.out(0);
    c.nest(y, {{0, broadcast_strides(c.shape(2), y)}, {0, strides_of(y)}},
           [&](const std::vector<std::string>& at) {
             const std::string by =
                 a.beta == 1 ? "" : c_literal(double(a.beta), c.dtype(0)) + " * ";
             c.line(to + "[" + at[1] + "] = " + by + c.load(2, at[0]) + ";");
           });
    p.adds = true;
  }
  emit_matmul(c, p, double(a.alpha));
}

}  // namespace

const Room& gemm() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  const auto i = [](Shape shape) {
    return OperandSpec::ranged(std::move(shape), -5, 5, DType::i32);
  };
  static const Room room = make_room<Gemm>({
      .onnx = {"Gemm", 13},
      .arity = {2, 3},
      .attributes = {{"alpha", &Gemm::alpha},
                     {"beta", &Gemm::beta},
                     {"transA", &Gemm::trans_a},
                     {"transB", &Gemm::trans_b}},
      .infer = infer,
      .reference = ESP_REFERENCE(Gemm, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = quantize,
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {x({3, 4}), x({4, 5}), x({5})}},
                  {{0.5f, 2.0f, true, false}, {x({4, 3}), x({4, 5}), x({3, 1})}},
                  {{1.5f, 1.0f, false, true}, {x({3, 4}), x({5, 4}), x({1, 5})}},
                  {{0.5f, -1.0f, true, true}, {x({4, 3}), x({5, 4}), x({})}},
                  {{}, {x({3, 4}), x({4, 2})}},
                  {{1.0f, 1.0f, false, true}, {x({3, 4}), x({5, 4}), x({3, 5})}},
                  {{}, {x({0, 4}), x({4, 5}), x({5})}},
                  {{}, {i({2, 3}), i({3, 2}), i({2})}}},
  });
  return room;
}

std::string matmul_in_c(const MatmulInC& p) {
  std::string text;
  for (int64_t n :
       {p.rows, p.inner, p.columns, p.a_row, p.a_column, p.b_row, p.b_column, int64_t{p.adds}})
    text += (text.empty() ? "{" : ", ") + std::to_string(n);
  return text + "}";
}

void emit_matmul(CWriter& c, const MatmulInC& p, double alpha, const std::string& a,
                 const std::string& b, const std::string& y) {
  const DType t = c.dtype(0);
  if (size_of(t) < 4 || t == DType::boolean)
    c.refuse("products of " + std::string(name_of(t)) + " have no C function");
  if (!is_float(t) && alpha != std::floor(alpha)) c.refuse("alpha is no integer");
  c.line("static const esp_matmul product = " + matmul_in_c(p) + ";");
  const std::string name(name_of(t));
  c.call("matmul_" + name + ".h", "esp_matmul_" + name,
         {"&product", plus(c.in(0), a), plus(c.in(1), b), c_literal(alpha, t), plus(c.out(0), y)});
}

}  // namespace espalier::ops

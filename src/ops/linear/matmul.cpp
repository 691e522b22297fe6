// MatMul, ONNX opset 13: numpy's matmul, y[..., m, n] = sum_k a[..., m, k] b[..., k, n].
// Leading axes broadcast; a 1-D operand is a row (left) or a column (right) whose axis vanishes.
#include "ops/common.h"
#include "ops/emit.h"
#include "ops/linear/gemm.h"
#include "ops/quantization/integer_c.h"

namespace espalier::ops {
namespace {

/// Operand dimensions with the 1-D cases padded to matrices.
struct Padded {
  Dims a, b;
  bool row = false, column = false;
};
Padded padded(const TypesIn& in) {
  Padded p{in[0].dims, in[1].dims};
  if (p.a.empty() || p.b.empty()) in.fail("a scalar is no matrix");
  if ((p.row = p.a.size() == 1)) p.a.insert(p.a.begin(), Dim(1));
  if ((p.column = p.b.size() == 1)) p.b.push_back(Dim(1));
  return p;
}

Types infer(const NoAttributes&, const TypesIn& in) {
  require_same_dtype(in, 0, 2);
  const Padded p = padded(in);
  const Dim &ka = p.a.back(), &kb = p.b[p.b.size() - 2];
  if (ka.known() && kb.known() && !(ka == kb))
    in.fail("the inner extents " + to_string(ka) + " and " + to_string(kb) + " differ");
  Dims dims =
      broadcast_dims(in, Dims(p.a.begin(), p.a.end() - 2), Dims(p.b.begin(), p.b.end() - 2));
  if (!p.row) dims.push_back(p.a[p.a.size() - 2]);
  if (!p.column) dims.push_back(p.b.back());
  return {TensorType(in[0].dtype, std::move(dims))};
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  Shape a = r.shape(0), b = r.shape(1);
  if (a.size() == 1) a.insert(a.begin(), 1);
  if (b.size() == 1) b.push_back(1);
  const int64_t m = a[a.size() - 2], k = a.back(), n = b.back();
  const Shape lead_a(a.begin(), a.end() - 2), lead_b(b.begin(), b.end() - 2);
  Shape lead(std::max(lead_a.size(), lead_b.size()), 1);
  for (size_t i = 0; i < lead_a.size(); ++i) lead[lead.size() - lead_a.size() + i] = lead_a[i];
  for (size_t i = 0; i < lead_b.size(); ++i) {
    int64_t& d = lead[lead.size() - lead_b.size() + i];
    if (d == 1) d = lead_b[i];
  }
  const std::array<std::vector<int64_t>, 2> strides = {broadcast_strides(lead_a, lead),
                                                       broadcast_strides(lead_b, lead)};
  const auto run = [&](auto xa, auto xb, auto y) {
    for_each_offset<2>(lead, strides, [&](int64_t batch, const std::array<int64_t, 2>& o) {
      const auto* pa = xa.data() + o[0] * m * k;
      const auto* pb = xb.data() + o[1] * k * n;
      auto* py = y.data() + batch * m * n;
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < n; ++j) {
          using T = std::remove_cvref_t<decltype(*py)>;
          using Sum = std::conditional_t<std::is_integral_v<T>, uint64_t, T>;  // integers wrap
          Sum sum = 0;
          for (int64_t l = 0; l < k; ++l) sum += Sum(pa[i * k + l]) * Sum(pb[l * n + j]);
          py[i * n + j] = T(sum);
        }
    });
  };
  if (r.is_real(0))
    run(r.real(0), r.real(1), r.out_real(0));
  else
    run(r.ints(0), r.ints(1), r.out_ints(0));
}

ValueId transposed(Builder& b, ValueId v) {
  std::vector<int64_t> perm(size_t(b.type(v).rank()));
  for (size_t i = 0; i < perm.size(); ++i) perm[i] = int64_t(i);
  std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return b.transpose(v, perm);
}

/// xT dy. It is the transpose of dyT x, for which less is transposed where x is larger than dy and
/// the gradient together (weights of attention).
ValueId weight_gradient(Builder& b, ValueId x, ValueId dy) {
  const TensorType &tx = b.type(x), &ty = b.type(dy);
  if (tx.is_static() && ty.is_static()) {
    const int64_t rows = tx.dims[size_t(tx.rank() - 2)].value(), inner = tx.dims.back().value();
    if (rows * inner > (rows + inner) * ty.dims.back().value())
      return transposed(b, b.matmul(transposed(b, dy), x));
  }
  return b.matmul(transposed(b, x), dy);
}

// da = dy bT, db = aT dy, each summed over broadcast axes. 1-D operands are padded to matrices and
// the gradients squeezed back.
Values gradient(const NoAttributes&, Builder& b, const Tape& t) {
  const bool row = t.type_x(0).rank() == 1, column = t.type_x(1).rank() == 1;
  ValueId x = t.x(0), w = t.x(1), dy = t.dy();
  if (column) {
    w = b.one("Unsqueeze", {w, b.ints({1})});
    dy = b.one("Unsqueeze", {dy, b.ints({-1})});
  }
  if (row) {
    x = b.one("Unsqueeze", {x, b.ints({0})});
    dy = b.one("Unsqueeze", {dy, b.ints({-2})});
  }
  Values d(2, kNoValue);
  if (t.wants(0)) {
    d[0] = b.unbroadcast(b.matmul(dy, transposed(b, w)), x);
    if (row) d[0] = b.one("Squeeze", {d[0], b.ints({0})});
  }
  if (t.wants(1)) {
    d[1] = b.unbroadcast(weight_gradient(b, x, dy), w);
    if (column) d[1] = b.one("Squeeze", {d[1], b.ints({1})});
  }
  return d;
}

Cost cost(const NoAttributes&, const TypesIn& in, const Types& out) {
  const int64_t k = in[0].dims.back().value();
  return contraction(double(out[0].tensor().numel()) * double(k), in, out);
}

// The contracted axis ties both operands; rows, columns and leading axes tie to the result.
AxisMap axes(const NoAttributes&, const TypesIn& in, const Types& out) {
  const int64_t ra = in[0].rank(), rb = in[1].rank(), ry = out[0].tensor().rank();
  AxisMap map;
  map.ties.push_back({in[0].dims.back().value(),
                      {AxisPlace::in(0, ra - 1), AxisPlace::in(1, rb == 1 ? 0 : rb - 2)}});
  if (ra > 1)
    map.ties.push_back({in[0].dims[size_t(ra - 2)].value(),
                        {AxisPlace::in(0, ra - 2), AxisPlace::out(0, rb == 1 ? ry - 1 : ry - 2)}});
  if (rb > 1)
    map.ties.push_back(
        {in[1].dims.back().value(), {AxisPlace::in(1, rb - 1), AxisPlace::out(0, ry - 1)}});
  const int64_t lead = ry - (ra > 1) - (rb > 1);
  for (int64_t axis = 0; axis < lead; ++axis) {
    AxisTie tie{out[0].tensor().dims[size_t(axis)].value(), {AxisPlace::out(0, axis)}};
    for (int slot = 0; slot < 2; ++slot) {
      const int64_t rank = in[size_t(slot)].rank(), own = axis - (lead - (rank - 2));
      if (own >= 0 && own < rank - 2 && in[size_t(slot)].dims[size_t(own)].is(tie.count))
        tie.places.push_back(AxisPlace::in(slot, own));
    }
    map.ties.push_back(std::move(tie));
  }
  return map;
}

QuantForm quantize(const NoAttributes&, const TypesIn& in) {
  if (in.constant(1) && in[1].rank() == 2)
    return {.activations = {0}, .weight = 1, .weight_axis = 1};
  return {.activations = {0, 1}};
}

void emit(const NoAttributes&, CWriter& c) {
  Shape a = c.shape(0), b = c.shape(1);
  if (a.size() == 1) a.insert(a.begin(), 1);
  if (b.size() == 1) b.push_back(1);
  const int64_t m = a[a.size() - 2], k = a.back(), n = b.back();
  if (c.out_size(0) == 0) return;
  Shape lead_a(a.begin(), a.end() - 2), lead_b(b.begin(), b.end() - 2);
  const MatmulInC flat{numel(lead_a) * m, k, n, k, 1, n, 1};
  if (numel(lead_b) == 1 && runs_on_integers(c, int64_t(b.size()) - 1)) {
    const RealOfSum real = real_of_sum(c);
    return emit_integer_matmul(
        c, flat, bytes_in_c(*c.quantised(0)), weights_in_c(c, *c.quantised(1)), "0",
        [&](const std::string& at, const std::string& sum, const std::string& column) {
          c.store(0, at, real(sum, column));
        });
  }
  if (numel(lead_b) == 1) return emit_matmul(c, flat);
  Shape lead = c.out_shape(0);
  lead.resize(std::max(lead_a.size(), lead_b.size()));
  const auto walk = [&](const Shape& own, int64_t size) {
    CWalk w{0, broadcast_strides(own, lead)};
    for (int64_t& stride : w.strides) stride *= size;
    return w;
  };
  CWalk to{0, strides_of(lead)};
  for (int64_t& stride : to.strides) stride *= m * n;
  c.nest(lead, {walk(lead_a, m * k), walk(lead_b, k * n), to},
         [&](const std::vector<std::string>& at) {
           emit_matmul(c, {m, k, n, k, 1, n, 1}, 1, at[0], at[1], at[2]);
         });
}

}  // namespace

const Room& matmul() {
  static const Room room = make_room<NoAttributes>({
      .onnx = {"MatMul", 13},
      .arity = {2, 2},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = quantize,
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::of({3, 4}), OperandSpec::of({4, 5})}},
                  {{}, {OperandSpec::of({2, 1, 3, 4}), OperandSpec::of({3, 4, 2})}},
                  {{}, {OperandSpec::of({4}), OperandSpec::of({4, 5})}},
                  {{}, {OperandSpec::of({2, 3, 4}), OperandSpec::of({4})}},
                  {{}, {OperandSpec::of({0, 4}), OperandSpec::of({4, 5})}}},
  });
  return room;
}

}  // namespace espalier::ops

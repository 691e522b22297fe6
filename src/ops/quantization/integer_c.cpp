#include "ops/quantization/integer_c.h"

#include "ops/quantization/linear.h"

namespace espalier::ops {
namespace {

std::string number(int64_t n) { return std::to_string(n); }

/// Bytes of int8 are read as unsigned ones with the sign flipped.
std::vector<std::string> read_arguments(const BytesInC& b) {
  const bool flips = b.type == DType::i8;
  return {b.pointer, flips ? "128" : "0", flips ? b.zero + " + 128" : b.zero};
}

/// A constant array of the weights less their zero points.
WeightsInC table_of(CWriter& c, const Tensor& stored, const std::vector<int64_t>& zeros,
                    int64_t axis) {
  const int64_t behind =
      zeros.size() > 1 ? product(stored.shape(), size_t(axis) + 1, stored.shape().size()) : 1;
  std::vector<int16_t> centred;
  bool wide = false;
  for (int64_t i = 0; i < stored.size(); ++i) {
    const auto z = zeros.size() > 1 ? size_t(i / behind) % zeros.size() : size_t{0};
    centred.push_back(int16_t(stored.int_at(i) - (zeros.empty() ? 0 : zeros[z])));
    wide = wide || centred.back() < -128 || centred.back() > 127;
  }
  const Tensor all = Tensor::from<int16_t>(stored.shape(), std::span<const int16_t>(centred));
  return {c.table(wide ? all : all.cast(DType::i8), "weights"), wide};
}

void require_bytes(const CWriter& c, DType t) {
  if (t != DType::u8 && t != DType::i8)
    c.refuse("products of " + std::string(name_of(t)) + " have no C function");
}

}  // namespace

BytesInC bytes_in_c(CWriter& c, size_t i, size_t zero_slot) {
  require_bytes(c, c.dtype(i));
  if (c.has(zero_slot) && c.size(zero_slot) != 1)
    c.refuse("its rows have zero points of their own");
  return {c.in(i), c.dtype(i), c.has(zero_slot) ? "(int)" + c.load(zero_slot, "0") : "0"};
}

BytesInC bytes_in_c(const CQuantised& q) { return {q.pointer, q.stored, number(q.zero_points[0])}; }

WeightsInC weights_in_c(CWriter& c, size_t i, size_t zero_slot, int64_t axis) {
  require_bytes(c, c.dtype(i));
  const bool centred = !c.has(zero_slot);
  if (c.constant(i) && (centred || c.constant(zero_slot)))
    return table_of(c, *c.constant(i), centred ? std::vector<int64_t>{} : c.list(zero_slot), axis);
  if (centred && c.dtype(i) == DType::i8) return {c.in(i), false};
  const Shape shape = c.shape(i);
  const std::string all = c.scratch(DType::i16, c.size(i));
  CWalk zero{0, std::vector<int64_t>(shape.size(), 0)};
  if (!centred && c.size(zero_slot) > 1) zero.strides[size_t(axis)] = 1;
  c.nest(shape, {{0, strides_of(shape)}, zero}, [&](const std::vector<std::string>& at) {
    c.line(all + "[" + at[0] + "] = (int16_t)(" + c.load(i, at[0]) +
           (centred ? ");" : " - " + c.load(zero_slot, at[1]) + ");"));
  });
  return {all, true};
}

WeightsInC weights_in_c(CWriter& c, const CQuantised& q) {
  if (!q.constant) return {q.pointer, false};
  return table_of(c, *q.constant, q.zero_points, q.axis);
}

void emit_integer_conv(CWriter& c, const Conv& a, const Shape& x, const Shape& w,
                       const BytesInC& bytes, const WeightsInC& weights, const StoreSum& store) {
  const Geometry g = conv_geometry(a, x, w);
  const int64_t size = g.out_size();
  if (x[0] * w[0] * size == 0) return;
  const std::string sums = c.scratch(DType::i32, size);
  const std::string name = weights.wide ? "conv_int16" : "conv_int8";
  c.line("static const esp_conv shape = " + conv_in_c(a, x, w) + ";");
  c.block(for_loop("n", x[0]), [&] {
    c.block(for_loop("m", w[0]), [&] {
      auto arguments = read_arguments(bytes);
      arguments.insert(arguments.begin(), {"&shape", "n", "m"});
      arguments.insert(arguments.end(), {weights.pointer, sums});
      c.call(name + ".h", "esp_" + name, arguments);
      c.line("const int plane = (n * " + number(w[0]) + " + m) * " + number(size) + ";");
      c.nest({size}, {{0, {1}}}, [&](const std::vector<std::string>& i) {
        store(plus("plane", i[0]), sums + "[" + i[0] + "]", "m");
      });
    });
  });
}

void emit_integer_matmul(CWriter& c, const MatmulInC& p, const BytesInC& a,
                         const WeightsInC& weights, const std::string& y, const StoreSum& store) {
  if (p.rows * p.columns == 0) return;
  const std::string sums = c.scratch(DType::i32, p.columns);
  const std::string name = weights.wide ? "matmul_int16" : "matmul_int8";
  c.line("static const esp_matmul product = " + matmul_in_c(p) + ";");
  c.block(for_loop("row", p.rows), [&] {
    auto arguments = read_arguments(a);
    arguments.insert(arguments.begin(), {"&product", "row"});
    arguments.insert(arguments.end(), {weights.pointer, sums});
    c.call(name + ".h", "esp_" + name, arguments);
    c.nest({p.columns}, {{0, {1}}}, [&](const std::vector<std::string>& j) {
      store(plus(plus(y, times("row", p.columns)), j[0]), sums + "[" + j[0] + "]", j[0]);
    });
  });
}

void emit_byte_matmul(CWriter& c, size_t a, size_t a_zero, size_t b, size_t b_zero,
                      const StoreSum& store) {
  const Shape left = c.shape(a), right = c.shape(b);
  const int64_t k = left.back(), n = right.size() == 1 ? 1 : right.back();
  if (c.size(b) != k * n) c.refuse("operand " + number(int64_t(b)) + " is more than one matrix");
  const int64_t rows = k == 0 ? c.out_size(0) / std::max<int64_t>(1, n) : c.size(a) / k;
  BytesInC bytes{c.in(a), c.dtype(a), "0"};
  require_bytes(c, bytes.type);
  if (c.has(a_zero) && c.size(a_zero) != 1 && c.size(a_zero) != rows)
    c.refuse("its zero points are not along rows");
  if (c.has(a_zero)) bytes.zero = "(int)" + c.load(a_zero, c.size(a_zero) > 1 ? "row" : "0");
  const WeightsInC weights = weights_in_c(c, b, b_zero, int64_t(right.size()) - 1);
  emit_integer_matmul(c, {rows, k, n, k, 1, n, 1}, bytes, weights, "0", store);
}

void store_requantised(CWriter& c, const std::string& at, const std::string& sum,
                       std::initializer_list<size_t> scales, const std::string& channel,
                       size_t to_scale, size_t to_zero) {
  c.need("quantise.h");
  std::string real = "(float)" + sum;
  for (size_t s : scales) real += " * " + c.load(s, c.size(s) > 1 ? channel : "0");
  const auto [lowest, highest] = limits_of(c.out_dtype(0));
  c.store(0, at,
          "(" + c_type(c.out_dtype(0)) + ")esp_quantise(" + real + " / " + c.load(to_scale, "0") +
              ", " + c.load(to_zero, "0") + ", " + number(lowest) + ", " + number(highest) + ")");
}

std::string RealOfSum::operator()(const std::string& sum, const std::string& channel) const {
  std::string real = "(float)" + sum + " * " + scales + (scale_each ? "[" + channel + "]" : "[0]");
  if (!biases.empty()) real += " + " + biases + (bias_each ? "[" + channel + "]" : "[0]");
  return real;
}

bool runs_on_integers(const CWriter& c, int64_t weight_axis) {
  const auto x = c.quantised(0), w = c.quantised(1);
  if (!x || !w || x->constant || x->scales.size() != 1) return false;
  if (!w->constant && (w->stored != DType::i8 || w->zero_points[0] != 0)) return false;
  if (w->scales.size() > 1 && w->axis != weight_axis) return false;
  const auto bytes = [](DType t) { return t == DType::u8 || t == DType::i8; };
  return bytes(x->stored) && bytes(w->stored);
}

RealOfSum real_of_sum(CWriter& c, double alpha) {
  const auto x = *c.quantised(0), w = *c.quantised(1);
  std::vector<float> scales;
  for (float s : w.scales) scales.push_back(float(alpha * double(x.scales[0]) * double(s)));
  RealOfSum real;
  real.scales = c.table(
      Tensor::from<float>({int64_t(scales.size())}, std::span<const float>(scales)), "scales");
  real.scale_each = scales.size() > 1;
  if (c.has(2)) {
    real.biases = c.in(2);
    real.bias_each = c.size(2) > 1;
  }
  return real;
}

}  // namespace espalier::ops

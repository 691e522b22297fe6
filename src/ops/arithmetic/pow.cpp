// Pow, ONNX opset 15: y = x^p with numpy broadcasting, in x's element type; p may be of another
// one. Of integers, a fractional power is truncated and 0 to a negative power is 0; products wrap.
#include <cmath>

#include "ops/arithmetic/integers.h"
#include "ops/common.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

Types infer(const NoAttributes&, const TypesIn& in) {
  require_numeric(in, 0, 2);
  return {TensorType(in[0].dtype, broadcast_dims(in))};
}

int64_t integer_power(int64_t x, int64_t p) {
  if (p < 0) return x == 1 ? 1 : x == -1 ? (p % 2 == 0 ? 1 : -1) : 0;
  uint64_t result = 1, square = uint64_t(x);
  for (; p > 0; p >>= 1, square *= square)
    if (p & 1) result *= square;
  return int64_t(result);
}

template <class Real>
void reference(const NoAttributes&, Ref<Real>& r) {
  const std::array<std::vector<int64_t>, 2> strides = {
      broadcast_strides(r.shape(0), r.out_shape(0)), broadcast_strides(r.shape(1), r.out_shape(0))};
  const auto run = [&](auto x, auto p, auto y, auto f) {
    for_each_offset<2>(r.out_shape(0), strides, [&](int64_t i, const std::array<int64_t, 2>& o) {
      y[size_t(i)] = f(x[size_t(o[0])], p[size_t(o[1])]);
    });
  };
  const auto real_power = [](Real x, auto p) { return Real(std::pow(x, Real(p))); };
  const auto mixed_power = [](int64_t x, Real p) {
    return convert_element<int64_t>(std::pow(double(x), double(p)));
  };
  if (r.is_real(0) && r.is_real(1))
    run(r.real(0), r.real(1), r.out_real(0), real_power);
  else if (r.is_real(0))
    run(r.real(0), r.ints(1), r.out_real(0), real_power);
  else if (r.is_real(1))
    run(r.ints(0), r.real(1), r.out_ints(0), mixed_power);
  else
    run(r.ints(0), r.ints(1), r.out_ints(0), integer_power);
}

/// p x^(p - 1), which is 0 for p = 0 even at x = 0.
ValueId slope(Builder& b, const Tape& t) {
  const ValueId x = t.x(0);
  const Tensor* known = t.constant(1);
  const bool square = known && known->size() == 1 && known->at(0) == 2;
  bool may_be_zero = !known;
  for (int64_t i = 0; known && i < known->size(); ++i)
    may_be_zero = may_be_zero || known->at(i) == 0;
  if (square) return b.mul(x, 2.0);
  const ValueId p = b.cast(t.x(1), b.type(x).dtype);
  const ValueId raw = b.mul(p, b.one("Pow", {x, b.add(p, -1.0)}));
  if (!may_be_zero) return raw;
  const ValueId zero = b.scalar(0, x);
  return b.where(b.one("Equal", {p, zero}), zero, raw);
}

// dx = dy p x^(p - 1); dp = dy y ln x where x > 0, else 0.
Values gradient(const NoAttributes&, Builder& b, const Tape& t) {
  Values d(2, kNoValue);
  const ValueId x = t.x(0);
  if (!is_float(t.type_x(0).dtype)) return d;
  if (t.wants(0)) d[0] = b.unbroadcast(b.mul(t.dy(), slope(b, t)), x);
  if (t.wants(1) && is_float(t.type_x(1).dtype)) {
    const ValueId log = b.one("Log", {b.where(b.greater(x, b.scalar(0, x)), x, b.scalar(1, x))});
    const ValueId dp = b.mul(b.mul(t.dy(), t.y(0)), log);
    d[1] = b.unbroadcast(b.cast(dp, t.type_x(1).dtype), t.x(1));
  }
  return d;
}

Cost cost(const NoAttributes&, const TypesIn& in, const Types& out) {
  return map_cost(20, in, out);
}

// 0^p is 0 for p > 0: zero passes along axes that p lacks, where p is known to be positive.
AxisMap axes(const NoAttributes&, const TypesIn& in, const Types& out) {
  const Tensor* p = in.constant(1);
  bool positive = p != nullptr;
  for (int64_t i = 0; p && i < p->size(); ++i) positive = positive && p->at(i) > 0;
  return AxisMap::broadcast(in, out[0].tensor(),
                            positive ? AxisMap::Zero::kIfFirst : AxisMap::Zero::kNever);
}

ScalarOp pointwise(const NoAttributes&, const TypesIn&) { return {ScalarCode::kPow}; }

void emit(const NoAttributes&, CWriter& c) {
  if (!is_float(c.dtype(0))) {
    if (is_float(c.dtype(1))) c.refuse("integers to fractional powers are not written in C");
    c.need("power.h");
    return c.map("(" + c_type(c.dtype(0)) + ")esp_power(x0, x1)");
  }
  c.map(is_float(c.dtype(1)) ? "pow~(x0, x1)" : "pow~(x0, (" + c_type(c.dtype(0)) + ")x1)");
}

}  // namespace

const Room& pow() {
  using Spec = OperandSpec;
  const auto exponent = [](auto v) { return Spec::fixed(Tensor::scalar(v)); };
  static const Room room = make_room<NoAttributes>({
      .onnx = {"Pow", 15},
      .arity = {2, 2},
      .infer = infer,
      .reference = ESP_REFERENCE(NoAttributes, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = Refuse{"its range is too wide for 8 bits"},
      .pointwise = pointwise,
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {Spec::ranged({2, 3}, 0.2, 2), Spec::ranged({2, 3}, -2, 2)}},
                  {{}, {Spec::ranged({2, 1, 4}, 0.2, 2), Spec::ranged({3, 1}, -2, 2)}},
                  {{}, {Spec::of({2, 3}), exponent(int64_t{2})}},
                  {{}, {Spec::of({2, 3}), exponent(int32_t{3})}},
                  {{}, {Spec::of({2, 3}), exponent(int64_t{0})}},
                  {{}, {Spec::of({0, 3}), exponent(2.0f)}},
                  {{},
                   {Spec::ranged({7}, -5, 5, DType::i32), Spec::ranged({7}, -2, 5, DType::i64)}},
                  {{}, {Spec::ranged({7}, 0, 5, DType::i32), Spec::ranged({7}, 0.2, 2)}}},
  });
  return room;
}

}  // namespace espalier::ops

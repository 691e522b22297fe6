// Shrink, ONNX opset 9: y = x + bias if x < -lambd, x - bias if x > lambd, else 0.
#include "ops/common.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

struct Shrink {
  float bias = 0;
  float lambd = 0.5f;
};

Types infer(const Shrink&, const TypesIn& in) {
  require_numeric(in, 0, 1);
  return same_as_input(in);
}

template <class Real>
void reference(const Shrink& a, Ref<Real>& r) {
  r.visit1([&](auto x, auto y) {
    using T = std::remove_cvref_t<decltype(y[0])>;
    for (size_t i = 0; i < x.size(); ++i) {
      // A float would not hold every integer.
      using Wide = std::conditional_t<std::is_integral_v<T>, double, Real>;
      const Wide v = Wide(x[i]), bias = Wide(a.bias), lambd = Wide(a.lambd);
      y[i] = convert_element<T>(v < -lambd ? v + bias : v > lambd ? v - bias : Wide(0));
    }
  });
}

// dx = |x| > lambd ? dy : 0.
Values gradient(const Shrink& a, Builder& b, const Tape& t) {
  const ValueId x = t.x(0), dy = t.dy();
  const ValueId low = b.less(x, b.scalar(-double(a.lambd), x));
  const ValueId outside = b.one("Or", {low, b.greater(x, b.scalar(double(a.lambd), x))});
  return {b.where(outside, dy, b.scalar(0, dy))};
}

Cost cost(const Shrink&, const TypesIn& in, const Types& out) { return map_cost(3, in, out); }

// 0 lies between the thresholds unless lambd is negative.
AxisMap axes(const Shrink& a, const TypesIn& in, const Types&) {
  return AxisMap::identity(in, a.lambd >= 0 || a.bias == 0);
}

QuantForm quantize(const Shrink&, const TypesIn&) { return {.activations = {0}}; }

void emit(const Shrink& a, CWriter& c) {
  const DType t = c.dtype(0);
  if (!is_float(t)) c.refuse("it is defined on floats there");
  const std::string bias = c_literal(double(a.bias), t), lambd = c_literal(double(a.lambd), t);
  c.map("x0 < -" + lambd + " ? x0 + " + bias + " : x0 > " + lambd + " ? x0 - " + bias + " : 0");
}

}  // namespace

const Room& shrink() {
  static const Room room = make_room<Shrink>({
      .onnx = {"Shrink", 9},
      .arity = {1, 1},
      .attributes = {{"bias", &Shrink::bias}, {"lambd", &Shrink::lambd}},
      .infer = infer,
      .reference = ESP_REFERENCE(Shrink, reference),
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = quantize,
      .pointwise = Refuse{"no fused kernel evaluates it"},
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{}, {OperandSpec::ranged({2, 3}, -2, 2)}},
                  {{1.5f, 1.5f}, {OperandSpec::ranged({9}, -3, 3)}},
                  {{}, {OperandSpec::ranged({0, 3}, -2, 2)}},
                  {{1.5f, 1.5f}, {OperandSpec::ranged({7}, -9, 9, DType::i32)}}},
      .kinks = {-1.5, -0.5, 0.5, 1.5},
  });
  return room;
}

}  // namespace espalier::ops

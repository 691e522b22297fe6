// espalier.AdamWStep(parameter, gradient, first_moment, second_moment, learning_rate [],
// step_count []) -> parameter, first_moment, second_moment. Adam with decoupled weight decay
// (Loshchilov and Hutter, 2019); the first step has step_count 1:
//   m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g^2
//   p = p * (1 - learning_rate * weight_decay)
//       - learning_rate * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
#include <cmath>

#include "base/error.h"
#include "ops/optimiser/step.h"

namespace espalier::ops {
namespace {

struct AdamWStep {
  float beta1 = 0.9f;
  float beta2 = 0.999f;
  float epsilon = 1e-8f;
  float weight_decay = 0.01f;
};

Types infer(const AdamWStep&, const TypesIn& in) {
  require_float(in, 4);
  if (in[5].dtype == DType::string || in[5].dtype == DType::boolean)
    in.fail("step_count is " + to_string(in[5]) + ", a number is needed");
  return infer_step(in, 4);
}

template <class Real>
void reference(const AdamWStep& a, Ref<Real>& r) {
  const auto p = r.real(0), g = r.real(1), m = r.real(2), v = r.real(3);
  const auto p_next = r.out_real(0), m_next = r.out_real(1), v_next = r.out_real(2);
  const double t = r.tensor(5).at(0);
  if (!(t >= 1)) throw bad_input("AdamWStep", "step_count is " + std::to_string(t) + ", below 1");
  const Real lr = r.real(4)[0], beta1 = Real(a.beta1), beta2 = Real(a.beta2);
  const Real unbias1 = Real(1 / (1 - std::pow(double(beta1), t)));
  const Real unbias2 = Real(1 / (1 - std::pow(double(beta2), t)));
  for (size_t i = 0; i < p.size(); ++i) {
    m_next[i] = beta1 * m[i] + (1 - beta1) * g[i];
    v_next[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
    const Real step = m_next[i] * unbias1 / (std::sqrt(v_next[i] * unbias2) + Real(a.epsilon));
    p_next[i] = p[i] * (1 - lr * Real(a.weight_decay)) - lr * step;
  }
}

Cost cost(const AdamWStep&, const TypesIn& in, const Types& out) {
  return {0, 16 * double(in[0].numel()), traffic(in, out)};
}

AxisMap axes(const AdamWStep&, const TypesIn& in, const Types&) { return step_axes(in, 4); }

// Powers of beta are taken in double: 1 - beta2^t loses half its digits in f32 when t is small.
void emit(const AdamWStep& a, CWriter& c) {
  const DType t = c.dtype(0);
  const std::string real = "const " + c_type(t) + " ";
  const auto number = [&](float v) { return c_literal(double(v), t); };
  const auto unbias = [&](float beta) {
    return "(" + c_type(t) + ")(1.0 / (1.0 - pow(" + c_literal(double(beta), DType::f64) +
           ", (double)" + c.load(5, "0") + ")))";
  };
  for (size_t o = 0; o < 3; ++o) c.overlay(o, o == 0 ? 0 : o + 1);
  c.check(c.load(5, "0") + " >= 1");
  c.line(real + "rate = " + c.load(4, "0") + ";");
  c.line(real + "unbias1 = " + unbias(a.beta1) + ", unbias2 = " + unbias(a.beta2) + ";");
  for_each_element(c, [&](const std::string& at) {
    c.line(real + "g = " + c.load(1, at) + ";");
    c.line(real + "m = " + number(a.beta1) + " * " + c.load(2, at) + " + " + number(1 - a.beta1) +
           " * g;");
    c.line(real + "v = " + number(a.beta2) + " * " + c.load(3, at) + " + " + number(1 - a.beta2) +
           " * g * g;");
    c.store(1, at, "m");
    c.store(2, at, "v");
    c.store(0, at,
            with_suffix(c.load(0, at) + " * (1 - rate * " + number(a.weight_decay) +
                            ") - rate * (m * unbias1 / (sqrt~(v * unbias2) + " + number(a.epsilon) +
                            "))",
                        t));
  });
}

}  // namespace

const Room& adam_w_step() {
  static const Room room = make_room<AdamWStep>({
      .onnx = {"AdamWStep", 1, "espalier"},
      .arity = {6, 6, 3, 3},
      .attributes = {{"beta1", &AdamWStep::beta1},
                     {"beta2", &AdamWStep::beta2},
                     {"epsilon", &AdamWStep::epsilon},
                     {"weight_decay", &AdamWStep::weight_decay}},
      .infer = infer,
      .reference = ESP_REFERENCE(AdamWStep, reference),
      .gradient = step_gradient(),
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{},
                   {OperandSpec::of({3, 2}), OperandSpec::of({3, 2}), OperandSpec::of({3, 2}),
                    OperandSpec::ranged({3, 2}, 0.1, 1), OperandSpec::ranged({}, 0.1, 0.2),
                    OperandSpec::fixed(Tensor::scalar<int64_t>(3))}}},
  });
  return room;
}

}  // namespace espalier::ops

// espalier.LionStep(parameter, gradient, momentum, learning_rate []) -> parameter, momentum. The
// sign of interpolated momentum with decoupled weight decay (Chen et al. 2023, arXiv:2302.06675,
// algorithm 2):
//   c = beta1 m + (1 - beta1) g;  p = p (1 - learning_rate weight_decay) - learning_rate sign(c)
//   m = beta2 m + (1 - beta2) g
#include "ops/optimiser/step.h"

namespace espalier::ops {
namespace {

struct LionStep {
  float beta1 = 0.9f;
  float beta2 = 0.99f;
  float weight_decay = 0;
};

Types infer(const LionStep&, const TypesIn& in) {
  require_float(in, 3);
  return infer_step(in, 3);
}

template <class Real>
void reference(const LionStep& a, Ref<Real>& r) {
  const auto p = r.real(0), g = r.real(1), m = r.real(2);
  const auto p_next = r.out_real(0), m_next = r.out_real(1);
  const Real lr = r.real(3)[0], beta1 = Real(a.beta1), beta2 = Real(a.beta2);
  for (size_t i = 0; i < p.size(); ++i) {
    const Real c = beta1 * m[i] + (1 - beta1) * g[i];
    const Real sign = c > 0 ? Real(1) : c < 0 ? Real(-1) : c;  // NaN stays
    p_next[i] = p[i] * (1 - lr * Real(a.weight_decay)) - lr * sign;
    m_next[i] = beta2 * m[i] + (1 - beta2) * g[i];
  }
}

Cost cost(const LionStep&, const TypesIn& in, const Types& out) {
  return {0, 10 * double(in[0].numel()), traffic(in, out)};
}

AxisMap axes(const LionStep&, const TypesIn& in, const Types&) { return step_axes(in, 3); }

void emit(const LionStep& a, CWriter& c) {
  const DType t = c.dtype(0);
  const std::string real = "const " + c_type(t) + " ";
  const auto mixed = [&](float keep) {
    return c_literal(double(keep), t) + " * m + " + c_literal(double(1 - keep), t) + " * g";
  };
  c.overlay(0, 0);
  c.overlay(1, 2);
  c.line(real + "rate = " + c.load(3, "0") + ";");
  for_each_element(c, [&](const std::string& at) {
    c.line(real + "g = " + c.load(1, at) + ", m = " + c.load(2, at) + ";");
    c.line(real + "c = " + mixed(a.beta1) + ";");
    c.line(real + "sign = c > 0 ? 1 : c < 0 ? -1 : c;");
    c.store(0, at,
            c.load(0, at) + " * (1 - rate * " + c_literal(double(a.weight_decay), t) +
                ") - rate * sign");
    c.store(1, at, mixed(a.beta2));
  });
}

}  // namespace

const Room& lion_step() {
  const auto x = [] { return OperandSpec::of({3, 2}); };
  static const Room room = make_room<LionStep>({
      .onnx = {"LionStep", 1, "espalier"},
      .arity = {4, 4, 2, 2},
      .attributes = {{"beta1", &LionStep::beta1},
                     {"beta2", &LionStep::beta2},
                     {"weight_decay", &LionStep::weight_decay}},
      .infer = infer,
      .reference = ESP_REFERENCE(LionStep, reference),
      .gradient = step_gradient(),
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{0.9f, 0.99f, 1e-2f}, {x(), x(), x(), OperandSpec::ranged({}, 0.1, 0.2)}},
                  {{0.5f, 0.7f, 0}, {x(), x(), x(), OperandSpec::ranged({}, 0.1, 0.2)}}},
  });
  return room;
}

}  // namespace espalier::ops

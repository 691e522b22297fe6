// espalier.SgdStep(parameter, gradient, momentum_buffer, learning_rate []) -> parameter,
// momentum_buffer. Stochastic gradient descent with momentum and weight decay in the gradient, the
// convention of PyTorch's SGD without dampening:
//   g = gradient + weight_decay * p;  m = momentum * m + g
//   p = p - learning_rate * (nesterov ? g + momentum * m : m)
#include "ops/optimiser/step.h"

namespace espalier::ops {
namespace {

struct SgdStep {
  float momentum = 0;
  bool nesterov = false;
  float weight_decay = 0;
};

Types infer(const SgdStep&, const TypesIn& in) {
  require_float(in, 3);
  return infer_step(in, 3);
}

template <class Real>
void reference(const SgdStep& a, Ref<Real>& r) {
  const auto p = r.real(0), gradient = r.real(1), m = r.real(2);
  const auto p_next = r.out_real(0), m_next = r.out_real(1);
  const Real lr = r.real(3)[0], momentum = Real(a.momentum), decay = Real(a.weight_decay);
  for (size_t i = 0; i < p.size(); ++i) {
    const Real g = gradient[i] + decay * p[i];
    m_next[i] = momentum * m[i] + g;
    p_next[i] = p[i] - lr * (a.nesterov ? g + momentum * m_next[i] : m_next[i]);
  }
}

Cost cost(const SgdStep&, const TypesIn& in, const Types& out) {
  return {0, 8 * double(in[0].numel()), traffic(in, out)};
}

AxisMap axes(const SgdStep&, const TypesIn& in, const Types&) { return step_axes(in, 3); }

void emit(const SgdStep& a, CWriter& c) {
  const DType t = c.dtype(0);
  const std::string real = "const " + c_type(t) + " ";
  const std::string momentum = c_literal(double(a.momentum), t);
  c.overlay(0, 0);
  c.overlay(1, 2);
  c.line(real + "rate = " + c.load(3, "0") + ";");
  for_each_element(c, [&](const std::string& at) {
    c.line(real + "p = " + c.load(0, at) + ";");
    c.line(real + "g = " + c.load(1, at) + " + " + c_literal(double(a.weight_decay), t) + " * p;");
    c.line(real + "m = " + momentum + " * " + c.load(2, at) + " + g;");
    c.store(1, at, "m");
    c.store(0, at, "p - rate * " + (a.nesterov ? "(g + " + momentum + " * m)" : "m"));
  });
}

}  // namespace

const Room& sgd_step() {
  static const Room room = make_room<SgdStep>({
      .onnx = {"SgdStep", 1, "espalier"},
      .arity = {4, 4, 2, 2},
      .attributes = {{"momentum", &SgdStep::momentum},
                     {"nesterov", &SgdStep::nesterov},
                     {"weight_decay", &SgdStep::weight_decay}},
      .infer = infer,
      .reference = ESP_REFERENCE(SgdStep, reference),
      .gradient = step_gradient(),
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = emit,
      .samples = {{{0.9f, true, 1e-2f},
                   {OperandSpec::of({3, 2}), OperandSpec::of({3, 2}), OperandSpec::of({3, 2}),
                    OperandSpec::ranged({}, 0.1, 0.2)}},
                  {{0.5f, false, 0},
                   {OperandSpec::of({4}), OperandSpec::of({4}), OperandSpec::of({4}),
                    OperandSpec::ranged({}, 0.1, 0.2)}}},
  });
  return room;
}

}  // namespace espalier::ops

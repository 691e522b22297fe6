// RNN, ONNX opset 14 (Elman, Cognitive Science 14, 1990): h' = f(W x + R h).
#include "ops/recurrent/recurrent.h"

namespace espalier::ops {
namespace {

const RecurrentForm& form() {
  static const RecurrentForm f{.gates = 1, .default_functions = {"Tanh"}};
  return f;
}

Types infer(const Recurrent& a, const TypesIn& in) { return infer_recurrent(a, form(), in); }

template <class Real>
void reference(const Recurrent& a, Ref<Real>& r) {
  const auto functions = gate_functions(a, form().default_functions, "RNN");
  recurrent_loop(a, form(), r,
                 [&](const DirectionOperands<Real>& at, int64_t direction, const Real* x,
                     std::vector<Real>& h, std::vector<Real>&) {
                   const std::vector<Real> before = h;
                   for (int64_t u = 0; u < at.hidden; ++u)
                     h[size_t(u)] = functions[size_t(direction)](
                         at.clipped(at.from_input(u, x) + at.from_state(u, before.data())));
                 });
}

Values expand(const Recurrent& a, Builder& builder, const Values& inputs) {
  const auto functions = gate_functions(a, form().default_functions, "RNN");
  return unroll(a, form(), builder, inputs,
                [&](Builder& b, const UnrolledStep& s) -> std::array<ValueId, 2> {
                  const ValueId sum = sum_of(b, s.from_input[0], s.from_state[0]);
                  return {functions[size_t(s.direction)](b, clipped(a, b, sum)), kNoValue};
                });
}

Cost cost(const Recurrent&, const TypesIn& in, const Types& out) {
  return recurrent_cost(form(), in, out);
}

AxisMap axes(const Recurrent& a, const TypesIn& in, const Types& out) {
  return recurrent_axes(a, form(), in, out);
}

Resized resized(const Recurrent& a, const TypesIn&, const TypesIn& after, const Types&) {
  Recurrent r = a;
  if (r.hidden_size) r.hidden_size = after[2].dims[2].value();
  return {Attributes::of(r), {}};
}

}  // namespace

const Room& rnn() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  static const Room room = make_room<Recurrent>({
      .onnx = {"RNN", 14},
      .arity = {3, 6, 1, 2},
      .attributes = recurrent_fields<Recurrent>(),
      .infer = infer,
      .reference = ESP_REFERENCE(Recurrent, reference),
      .gradient = Derive{},
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = Derive{},
      .samples =
          {
              {{.hidden_size = 3}, {x({2, 2, 4}), x({1, 3, 4}), x({1, 3, 3}), x({1, 6})}},
              {{.activations = {"Tanh", "Affine"}, .direction = "bidirectional"},
               {x({3, 2, 2}), x({2, 2, 2}), x({2, 2, 2}), x({2, 4}), OperandSpec::omitted(),
                x({2, 2, 2})}},
          },
      .resized = resized,
  });
  return room;
}

}  // namespace espalier::ops

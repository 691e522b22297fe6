// LSTM, ONNX opset 14 (Hochreiter & Schmidhuber, Neural Computation 9, 1997; peepholes: Gers &
// Schmidhuber 2000). Gates stand in the order i, o, f, c:
//   i = f(W x + R h + P c),  f likewise,  c' = f c + i g(W x + R h),  o = f(W x + R h + P c'),
//   h' = o h(c').
#include "ops/recurrent/recurrent.h"

namespace espalier::ops {
namespace {

struct Lstm : Recurrent {
  bool input_forget = false;  ///< the forget gate is 1 - i
};

const RecurrentForm& form() {
  static const RecurrentForm f{
      .gates = 4, .default_functions = {"Sigmoid", "Tanh", "Tanh"}, .states = 2};
  return f;
}

Types infer(const Lstm& a, const TypesIn& in) { return infer_recurrent(a, form(), in); }

template <class Real>
void reference(const Lstm& a, Ref<Real>& r) {
  const auto functions = gate_functions(a, form().default_functions, "LSTM");
  recurrent_loop(a, form(), r,
                 [&](const DirectionOperands<Real>& at, int64_t direction, const Real* x,
                     std::vector<Real>& h, std::vector<Real>& c) {
                   const GateFunction* f = functions.data() + direction * 3;
                   const std::vector<Real> before = h;
                   const int64_t units = at.hidden;
                   for (int64_t u = 0; u < units; ++u) {
                     Real& cell = c[size_t(u)];
                     const auto gate = [&](int64_t g, int peephole) {
                       Real sum = at.from_input(g * units + u, x) +
                                  at.from_state(g * units + u, before.data());
                       if (at.p && peephole >= 0) sum += at.p[peephole * units + u] * cell;
                       return at.clipped(sum);
                     };
                     const Real i = f[0](gate(0, 0));
                     const Real forget = a.input_forget ? 1 - i : f[0](gate(2, 2));
                     cell = forget * cell + i * f[1](gate(3, -1));
                     h[size_t(u)] = f[0](gate(1, 1)) * f[2](cell);
                   }
                 });
}

Values expand(const Lstm& a, Builder& builder, const Values& inputs) {
  const auto functions = gate_functions(a, form().default_functions, "LSTM");
  return unroll(a, form(), builder, inputs,
                [&](Builder& b, const UnrolledStep& s) -> std::array<ValueId, 2> {
                  const GateFunction* f = functions.data() + s.direction * 3;
                  const auto gate = [&](size_t g, size_t peephole, ValueId c) {
                    ValueId v = sum_of(b, s.from_input[g], s.from_state[g]);
                    if (c != kNoValue && peephole < s.peephole.size())
                      v = b.add(v, b.mul(s.peephole[peephole], c));
                    return clipped(a, b, v);
                  };
                  constexpr size_t kNone = 3;
                  const ValueId i = f[0](b, gate(0, 0, s.c));
                  ValueId c = b.mul(i, f[1](b, gate(3, kNone, kNoValue)));
                  if (s.c != kNoValue) {
                    const ValueId forget =
                        a.input_forget ? b.sub(b.scalar(1, i), i) : f[0](b, gate(2, 2, s.c));
                    c = b.add(b.mul(forget, s.c), c);
                  }
                  return {b.mul(f[0](b, gate(1, 1, c)), f[2](b, c)), c};
                });
}

Cost cost(const Lstm&, const TypesIn& in, const Types& out) {
  return recurrent_cost(form(), in, out);
}

AxisMap axes(const Lstm& a, const TypesIn& in, const Types& out) {
  return recurrent_axes(a, form(), in, out);
}

Resized resized(const Lstm& a, const TypesIn&, const TypesIn& after, const Types&) {
  Lstm r = a;
  if (r.hidden_size) r.hidden_size = after[2].dims[2].value();
  return {Attributes::of(r), {}};
}

}  // namespace

const Room& lstm() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  const auto none = [] { return OperandSpec::omitted(); };
  const auto lengths = [](std::vector<int32_t> v) {
    return OperandSpec::fixed(
        Tensor::from<int32_t>({int64_t(v.size())}, std::span<const int32_t>(v)));
  };
  static const Room
      room =
          make_room<Lstm>(
              {
                  .onnx = {"LSTM", 14},
                  .arity = {3, 8, 1, 3},
                  .attributes = recurrent_fields<Lstm>({{"input_forget", &Lstm::input_forget}}),
                  .infer = infer,
                  .reference = ESP_REFERENCE(Lstm, reference),
                  .gradient = Derive{},
                  .cost = cost,
                  .axes = axes,
                  .quantize = no_quantize(),
                  .pointwise = not_pointwise(),
                  .expand = expand,
                  .emit = Derive{},
                  .samples =
                      {
                          {{{.hidden_size = 3}},
                           {x({2, 2, 4}), x({1, 12, 4}), x({1, 12, 3}), x({1, 24})}},
                          {{{.direction = "bidirectional"}},
                           {x({3, 2, 2}), x({2, 8, 2}), x({2, 8, 2}), x({2, 16}), lengths({3, 1}),
                            x({2, 2, 2}), x({2, 2, 2}), x({2, 6})}},
                          {{{.direction = "reverse", .hidden_size = 2, .layout = 1}},
                           {x({2, 3, 2}), x({1, 8, 2}), x({1, 8, 2}), none(), lengths({2, 3}),
                            x({2, 1, 2}), x({2, 1, 2})}},
                          {{{.activation_alpha = {0.3f},
                             .activation_beta = {0.4f},
                             .activations = {"HardSigmoid", "Softsign", "Affine"},
                             .clip = 5.0f},
                            true},
                           {x({2, 1, 2}), x({1, 8, 2}), x({1, 8, 2})}},
                          {{}, {x({1, 0, 2}), x({1, 8, 2}), x({1, 8, 2})}},
                      },
                  .resized = resized,
              });
  return room;
}

}  // namespace espalier::ops

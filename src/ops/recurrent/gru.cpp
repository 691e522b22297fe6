// GRU, ONNX opset 14 (Cho et al., arXiv:1406.1078). Gates stand in the order z, r, h:
//   z = f(W x + R h),  r likewise,  n = g(W x + R (r h)) or, with linear_before_reset,
//   n = g(W x + r (R h)),  h' = (1 - z) n + z h.
#include "ops/recurrent/recurrent.h"

namespace espalier::ops {
namespace {

struct Gru : Recurrent {
  bool linear_before_reset = false;
};

const RecurrentForm& form() {
  static const RecurrentForm f{.gates = 3, .default_functions = {"Sigmoid", "Tanh"}};
  return f;
}

Types infer(const Gru& a, const TypesIn& in) { return infer_recurrent(a, form(), in); }

template <class Real>
void reference(const Gru& a, Ref<Real>& r) {
  const auto functions = gate_functions(a, form().default_functions, "GRU");
  recurrent_loop(
      a, form(), r,
      [&](const DirectionOperands<Real>& at, int64_t direction, const Real* x, std::vector<Real>& h,
          std::vector<Real>&) {
        const GateFunction* f = functions.data() + direction * 2;
        const std::vector<Real> before = h;
        const int64_t units = at.hidden;
        const auto gate = [&](int64_t g, int64_t u) {
          const int64_t row = g * units + u;
          return f[0](at.clipped(at.from_input(row, x) + at.from_state(row, before.data())));
        };
        std::vector<Real> reset(static_cast<size_t>(units)), gated = before;
        for (int64_t u = 0; u < units; ++u) {
          reset[size_t(u)] = gate(1, u);
          gated[size_t(u)] *= reset[size_t(u)];
        }
        for (int64_t u = 0; u < units; ++u) {
          const int64_t row = 2 * units + u;
          const Real state = a.linear_before_reset
                                 ? reset[size_t(u)] * at.from_state(row, before.data())
                                 : at.from_state(row, gated.data());
          const Real fresh = f[1](at.clipped(at.from_input(row, x) + state));
          const Real z = gate(0, u);
          h[size_t(u)] = (1 - z) * fresh + z * before[size_t(u)];
        }
      });
}

Values expand(const Gru& a, Builder& builder, const Values& inputs) {
  const auto functions = gate_functions(a, form().default_functions, "GRU");
  return unroll(
      a, form(), builder, inputs, [&](Builder& b, const UnrolledStep& s) -> std::array<ValueId, 2> {
        const GateFunction* f = functions.data() + s.direction * 2;
        const auto gate = [&](size_t g) {
          return f[0](b, clipped(a, b, sum_of(b, s.from_input[g], s.from_state[g])));
        };
        const ValueId z = gate(0);
        ValueId state = s.from_state[2];
        if (a.linear_before_reset && state != kNoValue) {
          state = b.mul(gate(1), state);
        } else if (s.h != kNoValue) {
          const int64_t hidden = b.type(s.r_transposed).dims[0].value();
          const ValueId columns = b.op("Split", {s.r_transposed, b.ints({hidden, hidden, hidden})},
                                       {{"axis", int64_t{1}}})[2];
          state = sum_of(b, b.matmul(b.mul(gate(1), s.h), columns), s.state_bias[2]);
        }
        const ValueId fresh = f[1](b, clipped(a, b, sum_of(b, s.from_input[2], state)));
        const ValueId next = b.mul(b.sub(b.scalar(1, z), z), fresh);
        return {s.h == kNoValue ? next : b.add(next, b.mul(z, s.h)), kNoValue};
      });
}

Cost cost(const Gru&, const TypesIn& in, const Types& out) {
  return recurrent_cost(form(), in, out);
}

AxisMap axes(const Gru& a, const TypesIn& in, const Types& out) {
  return recurrent_axes(a, form(), in, out);
}

Resized resized(const Gru& a, const TypesIn&, const TypesIn& after, const Types&) {
  Gru r = a;
  if (r.hidden_size) r.hidden_size = after[2].dims[2].value();
  return {Attributes::of(r), {}};
}

}  // namespace

const Room& gru() {
  const auto x = [](Shape shape) { return OperandSpec::of(std::move(shape)); };
  const auto lengths = [](std::vector<int32_t> v) {
    return OperandSpec::fixed(
        Tensor::from<int32_t>({int64_t(v.size())}, std::span<const int32_t>(v)));
  };
  static const Room room = make_room<Gru>({
      .onnx = {"GRU", 14},
      .arity = {3, 6, 1, 2},
      .attributes = recurrent_fields<Gru>({{"linear_before_reset", &Gru::linear_before_reset}}),
      .infer = infer,
      .reference = ESP_REFERENCE(Gru, reference),
      .gradient = Derive{},
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = expand,
      .emit = Derive{},
      .samples =
          {
              {{{.hidden_size = 3}}, {x({2, 2, 4}), x({1, 9, 4}), x({1, 9, 3}), x({1, 18})}},
              {{{.direction = "bidirectional"}, true},
               {x({3, 2, 2}), x({2, 6, 2}), x({2, 6, 2}), x({2, 12}), lengths({3, 1}),
                x({2, 2, 2})}},
              {{{.direction = "reverse", .layout = 1}}, {x({2, 3, 2}), x({1, 6, 2}), x({1, 6, 2})}},
              {{{}, true}, {x({1, 2, 2}), x({1, 6, 2}), x({1, 6, 2}), x({1, 12})}},
          },
      .resized = resized,
  });
  return room;
}

}  // namespace espalier::ops

// What the recurrent rooms (LSTM, GRU, RNN; ONNX opset 14) share: attributes, activations, operand
// checks, the loop over time of the references, and the unrolled graph of the expansions.
//
// Operands: X, W, R, B, sequence_lens, initial_h (and LSTM's initial_c and P). X is
// [time, batch, input], or [batch, time, input] with layout 1, which moves the batch to the front
// of every sequence and state. Results: Y, Y_h (and Y_c).
#pragma once

#include <functional>
#include <optional>

#include "ops/common.h"

namespace espalier::ops {

struct Recurrent {
  std::vector<float> activation_alpha = {};
  std::vector<float> activation_beta = {};
  std::vector<std::string> activations = {};
  std::optional<float> clip = {};
  std::string direction = "forward";
  std::optional<int64_t> hidden_size = {};
  int64_t layout = 0;
};

/// The fields of the Recurrent that A derives from, then `more`.
template <class A>
std::vector<Field> recurrent_fields(std::vector<Field> more = {}) {
  const auto own = [](auto Recurrent::*member) {
    using T = std::remove_cvref_t<decltype(std::declval<Recurrent>().*member)>;
    return static_cast<T A::*>(member);
  };
  std::vector<Field> fields = {{"activation_alpha", own(&Recurrent::activation_alpha)},
                               {"activation_beta", own(&Recurrent::activation_beta)},
                               {"activations", own(&Recurrent::activations)},
                               {"clip", own(&Recurrent::clip)},
                               {"direction", own(&Recurrent::direction)},
                               {"hidden_size", own(&Recurrent::hidden_size)},
                               {"layout", own(&Recurrent::layout)}};
  for (Field& f : more) fields.push_back(std::move(f));
  return fields;
}

/// An activation of a gate with its parameters.
struct GateFunction {
  const char* name;
  int parameters;     ///< how many of alpha, beta it takes
  float alpha, beta;  ///< their defaults, then their values
  double (*apply)(double x, double alpha, double beta);
  ValueId (*build)(Builder& b, ValueId x, double alpha, double beta);

  template <class Real>
  Real operator()(Real x) const {
    return Real(apply(double(x), double(alpha), double(beta)));
  }
  ValueId operator()(Builder& b, ValueId x) const { return build(b, x, alpha, beta); }
};
/// The functions of every direction in turn; `defaults` for one direction where none are named.
/// UserError naming `where` for unknown names or wrong counts.
std::vector<GateFunction> gate_functions(const Recurrent& a,
                                         const std::vector<std::string>& defaults,
                                         const std::string& where);

/// What distinguishes one recurrent operator's operands from another's.
struct RecurrentForm {
  int gates;  ///< blocks of W, R and (twice) B
  std::vector<std::string> default_functions;
  int states = 1;  ///< 2 with a cell state: operand 6, result Y_c
};

int directions_of(const Recurrent& a);
/// Y, Y_h (and Y_c). Checks every operand and attribute.
Types infer_recurrent(const Recurrent& a, const RecurrentForm& form, const TypesIn& in);
Cost recurrent_cost(const RecurrentForm& form, const TypesIn& in, const Types& out);
/// Hidden units of all directions tie through gates, states and results; inputs tie X and W;
/// batches are independent.
AxisMap recurrent_axes(const Recurrent& a, const RecurrentForm& form, const TypesIn& in,
                       const Types& out);

/// Extents and element offsets under either layout.
struct Sequence {
  int64_t time, batch, input, hidden, directions;
  bool batch_first;

  template <class Real>
  Sequence(const Recurrent& a, const Ref<Real>& r)
      : time(r.shape(0)[a.layout == 1]),
        batch(r.shape(0)[a.layout == 0]),
        input(r.shape(0)[2]),
        hidden(r.shape(2)[2]),
        directions(r.shape(1)[0]),
        batch_first(a.layout == 1) {}
  int64_t x(int64_t t, int64_t n) const {
    return (batch_first ? n * time + t : t * batch + n) * input;
  }
  int64_t y(int64_t t, int64_t d, int64_t n) const {
    return (batch_first ? (n * time + t) * directions + d : (t * directions + d) * batch + n) *
           hidden;
  }
  int64_t state(int64_t d, int64_t n) const {
    return (batch_first ? n * directions + d : d * batch + n) * hidden;
  }
};

/// Operands of one direction as a cell's step reads them.
template <class Real>
struct DirectionOperands {
  const Real *w, *r, *b, *p;  ///< b and p are null where omitted
  int64_t gates, input, hidden;
  std::optional<float> clip;

  Real clipped(Real v) const { return clip ? std::clamp(v, Real(-*clip), Real(*clip)) : v; }
  /// Row `row` of W times x, with its bias.
  Real from_input(int64_t row, const Real* x) const {
    Real sum = b ? b[row] : Real(0);
    for (int64_t i = 0; i < input; ++i) sum += w[row * input + i] * x[i];
    return sum;
  }
  /// Row `row` of R times h, with its bias.
  Real from_state(int64_t row, const Real* h) const {
    Real sum = b ? b[gates * hidden + row] : Real(0);
    for (int64_t i = 0; i < hidden; ++i) sum += r[row * hidden + i] * h[i];
    return sum;
  }
};

/// Runs `step(operands, direction, x, h, c)` over every direction, batch and time within its
/// sequence's length; it replaces h (and c) by the next state.
template <class Real, class Step>
void recurrent_loop(const Recurrent& a, const RecurrentForm& form, Ref<Real>& r, Step step) {
  const Sequence s(a, r);
  const auto data = [&](size_t slot, int64_t offset) -> const Real* {
    return r.has(slot) ? r.real(slot).data() + offset : nullptr;
  };
  const auto y = r.out_real(0);
  std::fill(y.begin(), y.end(), Real(0));
  for (int64_t d = 0; d < s.directions; ++d) {
    const int64_t rows = form.gates * s.hidden;
    const DirectionOperands<Real> operands{data(1, d * rows * s.input),
                                           data(2, d * rows * s.hidden),
                                           data(3, d * 2 * rows),
                                           data(7, d * 3 * s.hidden),
                                           form.gates,
                                           s.input,
                                           s.hidden,
                                           a.clip};
    const bool backwards = a.direction == "reverse" || d == 1;
    for (int64_t n = 0; n < s.batch; ++n) {
      std::vector<Real> h(size_t(s.hidden), Real(0)), c = h;
      if (const Real* from = data(5, s.state(d, n))) h.assign(from, from + s.hidden);
      if (const Real* from = data(6, s.state(d, n))) c.assign(from, from + s.hidden);
      const int64_t length =
          r.has(4) ? std::clamp<int64_t>(r.ints(4)[size_t(n)], 0, s.time) : s.time;
      for (int64_t i = 0; i < length; ++i) {
        const int64_t t = backwards ? length - 1 - i : i;
        step(operands, d, data(0, s.x(t, n)), h, c);
        std::copy(h.begin(), h.end(), y.begin() + s.y(t, d, n));
      }
      std::copy(h.begin(), h.end(), r.out_real(1).begin() + s.state(d, n));
      if (form.states == 2) std::copy(c.begin(), c.end(), r.out_real(2).begin() + s.state(d, n));
    }
  }
}

/// One step of an expansion. States are kNoValue where they are known to be zero.
struct UnrolledStep {
  int direction;
  std::vector<ValueId> from_input;  ///< per gate [batch, hidden], input biases included
  std::vector<ValueId> from_state;  ///< per gate, state biases included; kNoValue if zero
  ValueId h, c;
  ValueId r_transposed;             ///< [hidden, gates * hidden]
  std::vector<ValueId> state_bias;  ///< per gate, or kNoValue
  std::vector<ValueId> peephole;    ///< three, or none
};
using UnrolledCell = std::function<std::array<ValueId, 2>(Builder&, const UnrolledStep&)>;

/// The whole operator with `cell` giving the next h (and c) of each step. The number of steps must
/// be known: UserError otherwise.
Values unroll(const Recurrent& a, const RecurrentForm& form, Builder& b, const Values& inputs,
              const UnrolledCell& cell);
/// Clipped to the attribute's bounds, if any.
ValueId clipped(const Recurrent& a, Builder& b, ValueId v);
/// a + b, where either may be kNoValue.
ValueId sum_of(Builder& b, ValueId u, ValueId v);

}  // namespace espalier::ops

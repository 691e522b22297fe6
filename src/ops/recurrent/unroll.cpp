// The expansions of recurrent operators: one copy of the cell for each time step.
#include "base/error.h"
#include "ops/recurrent/recurrent.h"

namespace espalier::ops {

ValueId sum_of(Builder& b, ValueId u, ValueId v) {
  return u == kNoValue ? v : v == kNoValue ? u : b.add(u, v);
}

ValueId clipped(const Recurrent& a, Builder& b, ValueId v) {
  if (!a.clip) return v;
  return b.one("Clip", {v, b.scalar(-double(*a.clip), v), b.scalar(double(*a.clip), v)});
}

namespace {

int64_t extent(Builder& b, ValueId v, int64_t axis) {
  const Dim d = b.type(v).dims[size_t(axis)];
  if (!d.known())
    throw unsupported("recurrence with weights of " + to_string(b.type(v)),
                      "only known extents can be unrolled", "specialise the graph first");
  return d.value();
}

/// Equal pieces of v along an axis.
Values pieces(Builder& b, ValueId v, int64_t axis, int64_t count) {
  if (count == 1) return {v};
  const int64_t size = extent(b, v, axis) / count;
  return b.op("Split", {v, b.ints(std::vector<int64_t>(size_t(count), size))}, {{"axis", axis}});
}

/// The slices of v along its first axis, which goes.
Values slices(Builder& b, ValueId v) {
  Values out;
  for (ValueId piece : pieces(b, v, 0, extent(b, v, 0)))
    out.push_back(b.one("Squeeze", {piece, b.ints({0})}));
  return out;
}

ValueId stacked(Builder& b, const Values& parts, int64_t axis) {
  Values raised;
  for (ValueId v : parts) raised.push_back(b.one("Unsqueeze", {v, b.ints({axis})}));
  return raised.size() == 1 ? raised[0] : b.one("Concat", raised, {{"axis", axis}});
}

struct Unrolling {
  const Recurrent& a;
  const RecurrentForm& form;
  Builder& b;
  const Values& in;

  bool has(size_t i) const { return i < in.size() && in[i] != kNoValue; }
  Values per_direction(size_t i) const {
    return has(i) ? slices(b, in[i]) : Values(size_t(directions_of(a)), kNoValue);
  }
  /// An initial state per direction, [batch, hidden].
  Values states(size_t i) const {
    if (!has(i) || a.layout == 0) return per_direction(i);
    return slices(b, b.transpose(in[i], {1, 0, 2}));
  }
  /// [directions, batch, hidden], with the batch first under layout 1.
  ValueId state_result(const Values& parts) const {
    const ValueId all = stacked(b, parts, 0);
    return a.layout == 1 ? b.transpose(all, {1, 0, 2}) : all;
  }
  /// For each step which sequences still run, as [batch, 1]; empty where all do.
  Values running(int64_t time) const {
    Values masks;
    if (!has(4)) return masks;
    const ValueId lengths = b.one("Unsqueeze", {in[4], b.ints({1})});
    for (int64_t t = 0; t < time; ++t)
      masks.push_back(b.less(b.scalar(double(t), lengths), lengths));
    return masks;
  }
  /// `fresh` where the mask holds, else `old` (kNoValue: zero).
  ValueId kept(ValueId mask, ValueId fresh, ValueId old) const {
    return b.where(mask, fresh, old == kNoValue ? b.scalar(0, fresh) : old);
  }
};

}  // namespace

Values unroll(const Recurrent& a, const RecurrentForm& form, Builder& b, const Values& inputs,
              const UnrolledCell& cell) {
  const Unrolling u{a, form, b, inputs};
  const ValueId x = a.layout == 1 ? b.transpose(inputs[0], {1, 0, 2}) : inputs[0];
  const Dim time = b.type(x).dims[0], hidden = b.type(inputs[2]).dims[2];
  if (!time.known() || time.is(0) || !hidden.known())
    throw unsupported("recurrence over " + to_string(b.type(inputs[0])),
                      "only a known number of steps, at least one, can be unrolled",
                      "specialise the graph first");
  const auto steps = int64_t(time.value());
  const int64_t gates = form.gates;
  const Values w = u.per_direction(1), r = u.per_direction(2), bias = u.per_direction(3),
               h0 = u.states(5), c0 = u.states(6), peepholes = u.per_direction(7);
  const Values masks = u.running(steps);
  Values last_h, last_c, sequences;
  for (size_t d = 0; d < w.size(); ++d) {
    UnrolledStep step{.direction = int(d), .h = h0[d], .c = c0[d]};
    step.r_transposed = b.transpose(r[d], {1, 0});
    ValueId projected = b.matmul(x, b.transpose(w[d], {1, 0}));
    ValueId whole_state_bias = kNoValue;
    step.state_bias.assign(size_t(gates), kNoValue);
    if (bias[d] != kNoValue) {
      const Values halves = pieces(b, bias[d], 0, 2);
      projected = b.add(projected, halves[0]);
      whole_state_bias = halves[1];
      step.state_bias = pieces(b, whole_state_bias, 0, gates);
    }
    if (peepholes[d] != kNoValue) step.peephole = pieces(b, peepholes[d], 0, 3);
    const Values inputs_now = slices(b, projected);
    Values outputs(static_cast<size_t>(steps), kNoValue);
    const bool backwards = a.direction == "reverse" || d == 1;
    for (int64_t i = 0; i < steps; ++i) {
      const auto t = size_t(backwards ? steps - 1 - i : i);
      step.from_input = pieces(b, inputs_now[t], 1, gates);
      step.from_state = step.state_bias;
      if (step.h != kNoValue)
        step.from_state =
            pieces(b, sum_of(b, b.matmul(step.h, step.r_transposed), whole_state_bias), 1, gates);
      auto [h, c] = cell(b, step);
      outputs[t] = h;
      if (!masks.empty()) {
        outputs[t] = u.kept(masks[t], h, kNoValue);
        h = u.kept(masks[t], h, step.h);
        if (c != kNoValue) c = u.kept(masks[t], c, step.c);
      }
      step.h = h;
      step.c = c;
    }
    last_h.push_back(step.h);
    last_c.push_back(step.c);
    sequences.push_back(stacked(b, outputs, 0));
  }
  ValueId y = stacked(b, sequences, 1);
  if (a.layout == 1) y = b.transpose(y, {2, 0, 1, 3});
  Values results = {y, u.state_result(last_h)};
  if (form.states == 2) results.push_back(u.state_result(last_c));
  return results;
}

}  // namespace espalier::ops

// espalier.UnifiedNormalization(x [..., C], scale [C], bias [C], running [C],
//     statistics [window + 4, C], gradient_statistics [window + 1, C])
//     -> y, next_running, next_statistics
// Unified Normalization of Yang et al., "Unified Normalization for Accelerating and Stabilizing
// Transformers" (arXiv:2208.01313): channels of tokens are divided by a root mean square that does
// not depend on the token, so that inference needs no statistics and the factors can be folded into
// the linear layer behind:
//   inference  y = x scale / sqrt(running + epsilon) + bias
//   training   y = x scale / sqrt(s + epsilon) + bias
// With q the mean of x^2 over all tokens of the batch, s is the geometric mean of the q of the last
// `window` steps, which a single large one moves little. running follows s by `momentum`. Of the
// first steps s is q.
//
// `filter`: of numbers u the arithmetic mean less the geometric one is at most `window` times the
// variance of sqrt(u). A step at which it exceeds, in any channel, that bound for the window as it
// was before is extraordinary: its s is q, and the window takes the running mean square instead.
//
// Its gradient is the paper's, not that of the formula: see unified_norm_grad.cpp. Of operand 5 the
// gradient is defined as its next value.
#include "ops/normalization/unified_normalization.h"

#include "ops/catalogue.h"

namespace espalier::ops {

ValueId rows_of(Builder& b, ValueId matrix, int64_t from, int64_t to) {
  return b.one("Slice", {matrix, b.ints({from}), b.ints({to}), b.ints({0})});
}

ValueId pushed(Builder& b, ValueId newest, ValueId window, int64_t size) {
  if (size == 1) return newest;
  return b.one("Concat", {newest, rows_of(b, window, 0, size - 1)}, {{"axis", int64_t{0}}});
}

std::vector<int64_t> axes_but_last(Builder& b, ValueId v) {
  std::vector<int64_t> axes;
  for (int64_t i = 0; i + 1 < b.type(v).rank(); ++i) axes.push_back(i);
  return axes;
}

ValueId uses_own(const UnifiedNormalization& a, Builder& b, ValueId steps, ValueId skipped) {
  const ValueId first = b.less(steps, b.scalar(double(a.own_steps()) + 0.5, steps));
  return b.one("Or", {first, b.greater(skipped, b.scalar(0.5, skipped))});
}

namespace {

using Norm = UnifiedNormalization;

constexpr double kLeastSquare = 1e-30;  // whose logarithm is finite in f32
constexpr double kMostRatio = 5;        // and its inverse the least

Types infer(const Norm& a, const TypesIn& in) {
  require_float(in, 0);
  require_same_dtype(in, 0, 6);
  if (in[0].rank() < 2)
    in.fail("operand 0 is " + to_string(in[0]) + ", tokens and a channel axis are needed");
  if (!(a.epsilon >= 0)) in.fail("epsilon is " + std::to_string(a.epsilon));
  if (!(a.momentum >= 0 && a.momentum < 1))
    in.fail("momentum is " + std::to_string(a.momentum), "it must be at least 0 and below 1");
  if (a.window < 1 || a.window > 1024)
    in.fail("the window is " + std::to_string(a.window), "it must be between 1 and 1024");
  if (a.warmup < 0) in.fail("warmup is " + std::to_string(a.warmup));
  const Dim channels = in[0].dims.back();
  const auto need = [&](size_t i, const Dims& dims) {
    require_rank(in, i, int64_t(dims.size()));
    for (size_t d = 0; d < dims.size(); ++d) {
      const Dim& own = in[i].dims[d];
      if (own.known() && dims[d].known() && !(own == dims[d]))
        in.fail("operand " + std::to_string(i) + " is " + to_string(in[i]) + ", " +
                to_string(TensorType(in[0].dtype, dims)) + " is needed");
    }
  };
  for (size_t i = 1; i < 4; ++i) need(i, {channels});
  need(4, {Dim(a.window + kWindow), channels});
  need(5, {Dim(a.window + kGradientWindow), channels});
  if (!a.training_mode) return {in[0]};
  return {in[0], in[3], in[4]};
}

/// f32 [1, 1]: 1 where the step is to be filtered.
ValueId extraordinary(const Norm& a, Builder& b, ValueId before, ValueId arithmetic,
                      ValueId geometric) {
  const ValueId roots = b.sqrt(before);
  const ValueId off = b.sub(roots, b.reduce_mean(roots, {0, 1}));
  const ValueId bound = b.mul(b.reduce_mean(b.mul(off, off), {0, 1}), double(a.window));
  const ValueId gap =
      b.one("ReduceMax", {b.sub(arithmetic, geometric)}, {{"axes", std::vector<int64_t>{0, 1}}});
  return b.where(b.greater(gap, bound), b.scalar(1, gap), b.scalar(0, gap));
}

Values training(const Norm& a, Builder& b, const Values& in) {
  const ValueId x = in[0], scale = in[1], bias = in[2], statistics = in[4];
  const ValueId running = b.reshape(in[3], {1, -1});
  const ValueId square = b.reshape(b.reduce_mean(b.mul(x, x), axes_but_last(b, x), false), {1, -1});
  const ValueId window = rows_of(b, statistics, kWindow, kWindow + a.window);
  const ValueId newest = pushed(b, square, window, a.window);
  const ValueId logarithm = b.one("Log", {b.one("Max", {newest, b.scalar(kLeastSquare, newest)})});
  const ValueId geometric = b.exp(b.reduce_mean(logarithm, {0}));
  const ValueId steps = b.add(rows_of(b, statistics, kSteps, kSteps + 1), 1.0);
  const ValueId warm = b.less(steps, b.scalar(double(a.own_steps()) + 0.5, steps));
  ValueId skipped = b.mul(steps, 0.0);
  if (a.filter) {
    const ValueId out = extraordinary(a, b, window, b.reduce_mean(newest, {0}), geometric);
    skipped = b.where(warm, skipped, b.add(skipped, out));
  }
  const ValueId own = uses_own(a, b, steps, skipped);
  const ValueId used = b.where(own, square, geometric);
  const ValueId deviation = b.sqrt(b.add(used, double(a.epsilon)));
  const ValueId to_running = b.div(deviation, b.sqrt(b.add(running, double(a.epsilon))));
  const ValueId bounded = b.one("Min", {b.one("Max", {to_running, b.scalar(1 / kMostRatio, used)}),
                                        b.scalar(kMostRatio, used)});
  const ValueId ratio = b.where(own, b.scalar(1, used), bounded);
  const ValueId kept = b.where(b.greater(skipped, b.scalar(0.5, skipped)),
                               pushed(b, running, window, a.window), newest);
  const ValueId skips = b.add(rows_of(b, statistics, kSkips, kSkips + 1), skipped);
  const ValueId next = b.one("Concat", {used, ratio, steps, skips, kept}, {{"axis", int64_t{0}}});
  const ValueId follows =
      b.add(b.mul(running, double(a.momentum)), b.mul(used, 1 - double(a.momentum)));
  return {b.add(b.mul(x, b.div(scale, deviation)), bias), b.reshape(follows, {-1}), next};
}

Values expansion(const Norm& a, Builder& b, const Values& in) {
  if (a.training_mode) return training(a, b, in);
  const ValueId gain = b.div(in[1], b.sqrt(b.add(in[3], double(a.epsilon))));
  return {b.add(b.mul(in[0], gain), in[2])};
}

Values gradient(const Norm& a, Builder& b, const Tape& t) {
  Values d(6, kNoValue);
  const ValueId dy = t.dy(0), x = t.x(0), scale = t.x(1);
  if (dy == kNoValue) return d;
  if (a.training_mode) {
    ValueId after = t.outputs() == 3 ? t.y(2) : kNoValue;
    if (after == kNoValue)
      after = b.op(unified_normalization(), Attributes::of(a),
                   {x, scale, t.x(2), t.x(3), t.x(4), t.x(5)})[2];
    const Values own =
        b.op(unified_norm_grad(), Attributes::of(a), {dy, x, scale, after, t.x(4), t.x(5)});
    for (size_t i = 0; i < 3; ++i)
      if (t.wants(i)) d[i] = own[i];
    if (t.wants(5)) d[5] = own[3];
    return d;
  }
  const ValueId running = t.x(3);
  const ValueId inv = b.div(b.scalar(1, running), b.sqrt(b.add(running, double(a.epsilon))));
  if (t.wants(0)) d[0] = b.mul(dy, b.mul(scale, inv));
  if (t.wants(2)) d[2] = b.unbroadcast(dy, t.x(2));
  if (!t.wants(1) && !t.wants(3)) return d;
  const ValueId along = b.mul(b.unbroadcast(b.mul(dy, x), scale), inv);
  if (t.wants(1)) d[1] = along;
  if (t.wants(3)) d[3] = b.mul(b.mul(b.mul(along, scale), b.mul(inv, inv)), -0.5);
  return d;
}

Cost cost(const Norm& a, const TypesIn& in, const Types& out) {
  return map_cost(a.training_mode ? 4 : 2, in, out);
}

// Channels go together with their statistics; tokens are alike unless a batch is averaged over.
AxisMap axes(const Norm& a, const TypesIn& in, const Types& out) {
  AxisMap map;
  const int64_t last = in[0].rank() - 1;
  AxisTie channels{in[1].dims[0].value(), {AxisPlace::in(0, last), AxisPlace::out(0, last)}};
  for (int slot = 1; slot < 4; ++slot) channels.places.push_back(AxisPlace::in(slot, 0));
  for (int slot = 4; slot < 6; ++slot) channels.places.push_back(AxisPlace::in(slot, 1));
  if (a.training_mode) {
    if (out.size() > 1) channels.places.push_back(AxisPlace::out(1, 0));
    if (out.size() > 2) channels.places.push_back(AxisPlace::out(2, 1));
    channels.zero_passes = false;  // steps are counted
  }
  map.ties.push_back(std::move(channels));
  if (a.training_mode) return map;
  for (AxisTie& tie : AxisMap::identity(in, false).ties)
    if (tie.places[0].axis != last) map.ties.push_back(std::move(tie));
  return map;
}

Norm with_mode(const Norm& a, bool training) {
  Norm r = a;
  r.training_mode = training;
  return r;
}

}  // namespace

const Room& unified_normalization() {
  using Spec = OperandSpec;
  const auto x = [](Shape shape) { return Spec::of(std::move(shape)); };
  const auto fixed = [](Shape shape, double lo, double hi) {
    Spec s = Spec::ranged(std::move(shape), lo, hi);
    s.constant = true;
    return s;
  };
  const auto square = [](int64_t n) { return Spec::ranged({n}, 0.5, 2); };
  const Norm warm{1e-3f, 0.9f, 3, 10, true, true}, one{1e-5f, 0.9f, 1, 0, true, true};
  static const Room room = make_room<Norm>({
      .onnx = {"UnifiedNormalization", 1, "espalier"},
      .arity = {6, 6, 1, 3},
      .attributes = {{"epsilon", &Norm::epsilon},
                     {"momentum", &Norm::momentum},
                     {"window", &Norm::window},
                     {"warmup", &Norm::warmup},
                     {"filter", &Norm::filter},
                     {"training_mode", &Norm::training_mode}},
      .infer = infer,
      .reference = Derive{},
      .gradient = gradient,
      .cost = cost,
      .axes = axes,
      .quantize = Refuse{"is folded into the linear layer behind it"},
      .pointwise = not_pointwise(),
      .expand = expansion,
      .emit = Derive{},
      // Only of a step that uses its own statistics is the gradient that of the formula.
      .samples =
          {{{},
            {x({2, 3, 4}), x({4}), x({4}), square(4), fixed({8, 4}, 0, 1), fixed({5, 4}, 0, 1)}},
           {{.window = 2},
            {x({5, 3}), x({3}), x({3}), square(3), fixed({6, 3}, 0, 1), fixed({3, 3}, 0, 1)}},
           {warm,
            {x({2, 3, 4}), x({4}), x({4}), fixed({4}, 0.5, 2), fixed({7, 4}, 0, 1),
             fixed({4, 4}, 0, 1)},
            1},
           {one,
            {x({4, 2}), x({2}), x({2}), fixed({2}, 0.5, 2), fixed({5, 2}, 0, 0),
             fixed({2, 2}, 0, 1)},
            1}},
      .with_mode = with_mode,
  });
  return room;
}

}  // namespace espalier::ops

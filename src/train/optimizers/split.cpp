#include "train/optimizers/split.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace espalier {
namespace {

/// Writes the updates of one matrix, or of all weights laid end to end as one.
class SplitMatrix {
 public:
  /// States are named by `state`; draws are a function of `seed`.
  using State = std::function<ValueId(const char* suffix, const Shape& shape)>;
  SplitMatrix(ParameterStep& p, const StepSplit& split, State state, int64_t seed)
      : p_(p), m_(p), b_(m_.builder()), split_(split), state_(std::move(state)), seed_(seed) {}

  /// For a gradient [n, k], of whose rows `count` have state. `values` are the weights in the same
  /// order where the chosen rows decay here, else kNoValue.
  ValueId by_rows(ValueId gradient, int64_t count, ValueId values) {
    const Shape shape = b_.type(gradient).shape();
    if (count == 0) return rest(gradient);
    const ValueId chosen =
        b_.one("espalier.TakeTurns", {p_.number()},
               {{"of", shape[0]}, {"count", count}, {"every", split_.every}, {"seed", seed_}});
    const auto rows = [&](ValueId v) {
      return b_.one("Gather", {v, chosen}, {{"axis", int64_t{0}}});
    };
    ValueId update = adam(rows(gradient));
    if (values != kNoValue) update = b_.add(update, b_.mul(rows(values), double(p_.decay())));
    return b_.one("ScatterND", {rest(gradient), b_.reshape(chosen, {count, 1}), update});
  }

  /// For a gradient [r, c] of which what lies in `rank` directions of the shorter side has state.
  ValueId by_directions(ValueId gradient, int64_t rank) {
    const Shape shape = b_.type(gradient).shape();
    if (rank == 0) return rest(gradient);
    const bool right = shape[1] < shape[0];
    const ValueId before = state_("subspace", {right ? shape[1] : shape[0], rank});
    const ValueId space = b_.one("espalier.RefreshSubspace", {before, gradient, p_.number()},
                                 {{"every", split_.every},
                                  {"right", int64_t{right}},
                                  {"random", int64_t{split_.part == Part::kRandom}},
                                  {"seed", seed_}});
    p_.next(before, space);
    const ValueId low =
        right ? m_.product(gradient, space) : m_.product(space, gradient, /*transpose_a=*/true);
    const auto back = [&](ValueId v) {
      return right ? m_.product(v, space, false, /*transpose_b=*/true) : m_.product(space, v);
    };
    const ValueId update = back(adam(low));
    if (split_.rest == Rest::kNothing) return update;
    return b_.add(update, rest(b_.sub(gradient, back(low))));
  }

  MatrixStep& matrix() { return m_; }

 private:
  ValueId adam(ValueId part) {
    const Shape shape = b_.type(part).shape();
    ValueId number = p_.number(), keep = kNoValue;
    if (split_.forgets) {
      const ValueId every = b_.scalar(double(split_.every), number);
      number = b_.add(b_.one("Mod", {b_.add(number, -1.0), every}), 1.0);
      keep = b_.cast(b_.greater(number, b_.scalar(1, number)), DType::f32);
    }
    const ValueId update =
        m_.adam(part, state_("first", shape), state_("second", shape), number, keep);
    return split_.part_rate == 1 ? update : b_.mul(update, split_.part_rate);
  }

  ValueId rest(ValueId gradient) {
    if (split_.rest == Rest::kNothing)
      return b_.constant(Tensor(DType::f32, b_.type(gradient).shape()));
    const ValueId step = split_.rest == Rest::kSign ? b_.one("Sign", {gradient}) : gradient;
    return split_.rest_rate == 1 ? step : b_.mul(step, split_.rest_rate);
  }

  ParameterStep& p_;
  MatrixStep m_;
  Builder& b_;
  const StepSplit& split_;
  State state_;
  int64_t seed_;
};

ValueId own_step(ParameterStep& p, const StepSplit& split) {
  SplitMatrix m(
      p, split, [&p](const char* suffix, const Shape& shape) { return p.state(suffix, shape); },
      p.seed("part"));
  const double rows = double(m.matrix().rows()), columns = double(m.matrix().columns());
  if (split.part == Part::kRows)
    return m.matrix().applied(
        m.by_rows(m.matrix().gradient(), int64_t(split.density * rows + 1e-9), kNoValue));
  // k directions of the shorter side: its k directions and two moments of k x the longer side.
  const double shorter = std::min(rows, columns), longer = std::max(rows, columns);
  auto rank = int64_t(split.density * 2 * rows * columns / (shorter + 2 * longer));
  if (split.rest == Rest::kNothing) rank = std::max<int64_t>(rank, 1);
  return m.matrix().applied(m.by_directions(m.matrix().gradient(), rank));
}

/// The steps of weights laid end to end: a block is one of `count` runs of equal length.
Values block_steps(std::vector<ParameterStep*>& weights, const StepSplit& split) {
  ParameterStep& any = *weights[0];
  SplitMatrix all(
      any, split,
      [&any](const char* suffix, const Shape& shape) { return any.shared_state(suffix, shape); },
      any.seed("part"));
  Builder& b = all.matrix().builder();
  int64_t total = 0;
  std::vector<int64_t> sizes;
  for (ParameterStep* p : weights) sizes.push_back(numel(p->shape()));
  for (int64_t n : sizes) total += n;
  const auto count = int64_t(std::ceil(1 / split.density));
  const int64_t length = (total + count - 1) / count, filled = count * length - total;
  const auto laid = [&](auto value_of) {
    Values flat;
    for (ParameterStep* p : weights) flat.push_back(b.reshape(value_of(*p), {-1}));
    if (filled > 0) flat.push_back(b.constant(Tensor(DType::f32, {filled})));
    return b.reshape(b.one("Concat", flat, {{"axis", int64_t{0}}}), {count, length});
  };
  const ValueId gradient = laid([&](ParameterStep& p) { return b.cast(p.gradient(), DType::f32); });
  // Weights that have no step at all do not decay either.
  const bool rests = split.rest == Rest::kNothing;
  const ValueId values =
      rests && any.decay() > 0 ? laid([](ParameterStep& p) { return p.parameter(); }) : kNoValue;
  const ValueId update = b.reshape(all.by_rows(gradient, 1, values), {-1});
  if (filled > 0) sizes.push_back(filled);
  Values parts = {update};
  if (sizes.size() > 1) parts = b.op("Split", {update, b.ints(sizes)}, {{"axis", int64_t{0}}});
  Values updated;
  for (size_t i = 0; i < weights.size(); ++i)
    updated.push_back(
        MatrixStep(*weights[i]).applied(b.reshape(parts[i], weights[i]->shape()), !rests));
  return updated;
}

}  // namespace

Values split_steps(std::span<ParameterStep> parameters, const StepSplit& split) {
  Values updated(parameters.size(), kNoValue);
  const bool blocks = split.part == Part::kBlocks && split.density > 0;
  std::vector<ParameterStep*> in_blocks;
  std::vector<size_t> places;
  for (size_t i = 0; i < parameters.size(); ++i) {
    ParameterStep& p = parameters[i];
    if (!p.only_multiplied()) {
      updated[i] = adamw_step(p);
    } else if (blocks) {
      in_blocks.push_back(&p);
      places.push_back(i);
    } else {
      updated[i] = own_step(p, split);
    }
  }
  if (!in_blocks.empty()) {
    const Values steps = block_steps(in_blocks, split);
    for (size_t i = 0; i < places.size(); ++i) updated[places[i]] = steps[i];
  }
  return updated;
}

Setting density_setting(double least) {
  return {"density", 0.25, least, 1, "state of the weights, as a part of Adam's"};
}

Setting period_setting(double fallback) {
  return {"every",        fallback,      1, 1e9, "steps before the part with state is chosen anew",
          /*flag=*/false, /*whole=*/true};
}

}  // namespace espalier

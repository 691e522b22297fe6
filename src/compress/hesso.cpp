#include "compress/hesso.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "base/error.h"
#include "compress/restrict.h"

namespace espalier {
namespace {

/// Calls f(flat group, group, class) for all groups.
template <class F>
void each_group(const AxisClasses& classes, F f) {
  size_t flat = 0;
  for (const AxisClass& c : classes.classes)
    for (const AxisGroup& g : c.groups) f(flat++, g, c);
}

}  // namespace

std::string Hesso::Track::name(const char* what) const {
  return "hesso:" + std::string(what) + ":" + parameter + ":" + std::to_string(axis);
}

Hesso::Hesso(AxisClasses classes, HessoOptions options)
    : classes_(std::move(classes)), options_(options), fate_(classes_.group_count(), Fate::kKept) {
  ESP_CHECK(options_.periods > 0 && options_.begin >= 0 && options_.begin < options_.end &&
                options_.end <= 1,
            "periods of pruning must lie within the training");
  Saliency alike;
  for (const AxisClass& c : classes_.classes)
    alike.emplace_back(c.groups.size(),
                       c.silenceable() ? 1.0 : std::numeric_limits<double>::infinity());
  CutShares smallest;
  if (choose_cut(classes_, alike, options_.budget, Keep::all(classes_), &smallest)) return;
  throw infeasible_cut(classes_, options_.budget, smallest);
}

std::vector<Hesso::Track> Hesso::tracks(bool producing_only) const {
  std::set<std::pair<std::string, int>> seen;
  std::vector<Track> found;
  for (const AxisClass& c : classes_.classes) {
    if (!c.silenceable()) continue;
    for (const AxisGroup& group : c.groups)
      for (const AxisSlice& s : group.slices) {
        const Value& v = classes_.graph.value(s.value);
        if (v.role != Role::kParameter || !v.constant) continue;
        if (producing_only ? !s.produces : !c.silences(s)) continue;
        if (seen.emplace(v.name, s.axis).second)
          found.push_back({v.name, s.axis, v.constant->shape()[size_t(s.axis)]});
      }
  }
  return found;
}

// Per index of a producing axis: the sum of parameter * gradient over the index's slice, and its
// square, summed over the steps of a period.
void Hesso::on_gradients(StepGraph& step) {
  Builder b(step.graph);
  for (const Track& t : tracks(/*producing_only=*/true)) {
    const StepParameter& p = step.parameter(t.parameter);
    if (p.gradient == kNoValue) continue;
    ValueId change = b.mul(p.value, b.cast(p.gradient, b.type(p.value).dtype));
    std::vector<int64_t> others;
    for (int64_t axis = 0; axis < b.type(p.value).rank(); ++axis)
      if (axis != t.axis) others.push_back(axis);
    if (!others.empty()) change = b.reduce_sum(change, others, false);
    const Tensor zero(DType::f32, {t.extent});
    const ValueId first = step.add_state(t.name("first"), zero);
    const ValueId second = step.add_state(t.name("second"), zero);
    step.set_next(first, b.add(first, change));
    step.set_next(second, b.add(second, b.mul(change, change)));
  }
}

void Hesso::on_updates(StepGraph& step) {
  Builder b(step.graph);
  for (const Track& t : tracks(/*producing_only=*/false)) {
    StepParameter& p = step.parameter(t.parameter);
    Shape shape(size_t(b.type(p.value).rank()), 1);
    shape[size_t(t.axis)] = t.extent;
    const std::vector<float> ones(size_t(t.extent), 1.0f);
    const ValueId factor =
        step.add_input(t.name("factor"), Tensor::from<float>(shape, std::span(ones)));
    p.updated = b.mul(p.updated, factor);
  }
}

/// The first step of a period; of period `periods`: the step after the last.
int64_t Hesso::boundary(int period, int64_t total) const {
  const double share = options_.begin + (options_.end - options_.begin) * period / options_.periods;
  return int64_t(std::floor(share * double(total)));
}

void Hesso::before_step(Trainer& trainer, const StepReport& coming) {
  if (settled_) return;
  const int64_t step = coming.step, total = coming.total_steps;
  if (step < boundary(0, total)) return;
  if (step >= boundary(options_.periods, total)) {
    // In a training of few steps the last periods hold none: what they had to choose is chosen now.
    if (boundary(options_.periods - 1, total) == boundary(options_.periods, total))
      begin_period(trainer, options_.periods - 1);
    settle();
    set_factors(trainer, 0);
    settled_ = true;
    return;
  }
  int period = 0;
  while (step >= boundary(period + 1, total)) ++period;
  if (step == boundary(period, total)) begin_period(trainer, period);
  const double left = double(boundary(period + 1, total) - step);
  set_factors(trainer, float((left - 1) / left));
}

void Hesso::settle() {
  for (Fate& f : fate_)
    if (f == Fate::kShrinking) f = Fate::kCut;
}

/// What was shrinking is zero now; as much more becomes redundant as this period's share of the
/// budget asks for.
void Hesso::begin_period(Trainer& trainer, int period) {
  settle();
  CutBudget budget = options_.budget;
  for (double* share : {&budget.macs, &budget.params})
    *share = 1 - (1 - *share) * (period + 1) / options_.periods;
  const auto chosen = choose_cut(classes_, saliency(trainer), budget, keep());
  ESP_CHECK(chosen.has_value(), "a budget that could be met no longer can");
  const std::vector<bool> kept = chosen->flat();
  for (size_t i = 0; i < fate_.size(); ++i)
    if (!kept[i] && fate_[i] == Fate::kKept) fate_[i] = Fate::kShrinking;
  for (const Track& t : tracks(/*producing_only=*/true)) {
    trainer.set_state(t.name("first"), Tensor(DType::f32, {t.extent}));
    trainer.set_state(t.name("second"), Tensor(DType::f32, {t.extent}));
  }
}

Saliency Hesso::saliency(Trainer& trainer) const {
  std::map<std::string, Tensor> cache;
  const auto state = [&](const std::string& name) -> const Tensor& {
    auto it = cache.find(name);
    if (it == cache.end()) it = cache.emplace(name, trainer.state(name)).first;
    return it->second;
  };
  Saliency first, second;
  for (const AxisClass& c : classes_.classes) {
    first.emplace_back();
    second.emplace_back();
    for (const AxisGroup& group : c.groups) {
      double change = 0, squares = 0;
      for (const AxisSlice& s : group.slices) {
        const Value& v = classes_.graph.value(s.value);
        if (!c.silenceable() || !s.produces || !v.constant || v.role != Role::kParameter) continue;
        const Track t{v.name, s.axis, 0};
        for (int64_t p : s.positions) {
          change += state(t.name("first")).at(p);
          squares += state(t.name("second")).at(p);
        }
      }
      const double never = std::numeric_limits<double>::infinity();
      first.back().push_back(c.silenceable() ? std::abs(change) : never);
      second.back().push_back(c.silenceable() ? squares : never);
    }
  }
  std::set<std::string> trained;
  for (const StepParameter& p : trainer.step_graph().parameters) trained.insert(p.name);
  const Saliency size = magnitude(classes_, [&](const std::string& name) -> const Tensor* {
    return trained.contains(name) ? &state(name) : nullptr;
  });
  return mixed({size, first, second});
}

void Hesso::set_factors(Trainer& trainer, float shrinking) const {
  std::map<std::string, std::vector<float>> factors;
  each_group(classes_, [&](size_t flat, const AxisGroup& group, const AxisClass& c) {
    if (fate_[flat] == Fate::kKept) return;
    const float factor = fate_[flat] == Fate::kCut ? 0.0f : shrinking;
    for (const AxisSlice& s : group.slices) {
      const Value& v = classes_.graph.value(s.value);
      if (!v.constant || v.role != Role::kParameter || !c.silences(s)) continue;
      const int64_t extent = v.constant->shape()[size_t(s.axis)];
      auto& of_track = factors[Track{v.name, s.axis, extent}.name("factor")];
      of_track.resize(size_t(extent), 1.0f);
      for (int64_t p : s.positions) of_track[size_t(p)] = factor;
    }
  });
  for (const auto& [name, values] : factors) {
    const Shape shape = trainer.step_graph().extra_inputs.at(name).shape();
    trainer.set_input(name, Tensor::from<float>(shape, std::span(values)));
  }
}

std::map<std::string, Tensor> Hesso::save() const {
  Tensor fates(DType::u8, {int64_t(fate_.size())});
  for (size_t i = 0; i < fate_.size(); ++i) fates.mutable_data<uint8_t>()[i] = uint8_t(fate_[i]);
  return {{"fates", fates}};
}

void Hesso::restore(const std::map<std::string, Tensor>& tensors) {
  const auto it = tensors.find("fates");
  if (it == tensors.end() || it->second.dtype() != DType::u8 ||
      it->second.size() != int64_t(fate_.size()))
    throw bad_input("checkpoint", "was made without pruning, or for another network",
                    "go on with the recipe it was made with");
  for (size_t i = 0; i < fate_.size(); ++i)
    fate_[i] = Fate(std::min<uint8_t>(it->second.data<uint8_t>()[i], uint8_t(Fate::kCut)));
  settled_ = false;
}

Keep Hesso::keep() const {
  Keep keep = Keep::all(classes_);
  size_t flat = 0;
  for (auto& c : keep.groups)
    for (size_t i = 0; i < c.size(); ++i) c[i] = fate_[flat++] == Fate::kKept;
  return keep;
}

Graph Hesso::cut(const Graph& trained) const { return restrict(trained, classes_, keep()); }

}  // namespace espalier

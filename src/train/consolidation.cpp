#include "train/consolidation.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/rng.h"
#include "runtime/session.h"
#include "train/step_session.h"

namespace espalier {
namespace {

// Strengths from here on are kFrozen.
constexpr double kMost = 1e30;

Tensor filled(const Shape& shape, float value) {
  Tensor t(DType::f32, shape);
  std::fill_n(t.mutable_data<float>(), t.size(), value);
  return t;
}

std::string strength_of(const std::string& parameter) { return parameter + ":strength"; }
std::string anchor_of(const std::string& parameter) { return parameter + ":anchor"; }

}  // namespace

Consolidation unconsolidated(const Graph& network) {
  Consolidation all;
  for (ValueId v : network.constants()) {
    const Value& value = network.value(v);
    if (value.role == Role::kParameter && is_float(value.tensor().dtype))
      all[value.name] = {filled(value.constant->shape(), 0), value.constant->cast(DType::f32)};
  }
  return all;
}

void consolidate(Consolidation& consolidation, const Graph& network,
                 const std::map<std::string, Tensor>& importance, double times) {
  for (const auto& [name, tensor] : importance) {
    const auto it = consolidation.find(name);
    ESP_CHECK(it != consolidation.end(), "'" + name + "' is no parameter that could be held");
    const Tensor& present = *network.value(network.find(name)).constant;
    const Hold& was = it->second;
    Hold now = {filled(present.shape(), 0), filled(present.shape(), 0)};
    for (int64_t i = 0; i < present.size(); ++i) {
      const double s = was.strength.at(i), more = times * tensor.at(i), sum = s + more;
      const bool frozen = s >= kMost;
      now.strength.mutable_data<float>()[i] = frozen ? kFrozen : float(sum);
      now.anchor.mutable_data<float>()[i] =
          float(frozen     ? was.anchor.at(i)
                : sum <= 0 ? present.at(i)
                           : (s * was.anchor.at(i) + more * present.at(i)) / sum);
    }
    it->second = std::move(now);
  }
}

std::map<std::string, Tensor> fisher_diagonal(const Graph& network, const Dataset& data,
                                              int64_t samples, const std::string& output,
                                              uint64_t seed) {
  StepOptions o;
  o.input = {1};
  const Shape& sample = data.sample_shape();
  o.input.insert(o.input.end(), sample.begin(), sample.end());
  o.input_type = data.input_type();
  o.optimizer = {"sgd", {{"momentum", 0}, {"nesterov", 0}}, 0};
  o.output = output;
  // One sample has no statistics of its own.
  if (std::ranges::any_of(network.constants(),
                          [&](ValueId v) { return network.value(v).role == Role::kBuffer; }))
    o.norms = {{NormMode::kEval, {}}};
  // The squared gradients of a step at rate 0, weighted by an input, add up in states.
  const StepExtension sums = {
      [](StepGraph& s) {
        Builder b(s.graph);
        const ValueId weight = s.add_input("importance:weight", Tensor::scalar(0.0f));
        for (const StepParameter& p : s.parameters) {
          const Shape shape = s.graph.value(p.value).tensor().shape();
          const ValueId sum = s.add_state(p.name + ":importance", filled(shape, 0));
          const ValueId g = b.cast(p.gradient, DType::f32);
          s.set_next(sum, b.add(sum, b.mul(b.mul(g, g), weight)));
        }
        s.add_output("importance:logits", b.one("Identity", {s.logits}));
      },
      {}};
  StepGraph built = build_training_step(network, o, {&sums, 1});
  std::vector<std::string> names;
  for (const StepParameter& p : built.parameters) names.push_back(p.name);
  StepSession step(std::move(built));
  const std::vector<int64_t> order =
      Rng(seed, stream_of("fisher diagonal")).permutation(data.size());
  const int64_t count = std::min(samples, data.size());
  for (int64_t i = 0; i < count; ++i) {
    Batch batch = data.fetch({&order[size_t(i)], 1});
    std::vector<double> p;
    for (int64_t c = 0; p.empty() || c < int64_t(p.size()); ++c) {
      // The first run of a sample tells its probabilities.
      if (p.empty()) {
        batch.targets = Tensor::from<int64_t>({1}, {0});
        step.set_input("importance:weight", Tensor::scalar(0.0f));
        step.run(batch, 0, 1);
        const Tensor logits = step.output("importance:logits");
        double best = logits.at(0), sum = 0;
        for (int64_t k = 0; k < logits.size(); ++k) best = std::max(best, logits.at(k));
        for (int64_t k = 0; k < logits.size(); ++k) p.push_back(std::exp(logits.at(k) - best));
        for (double v : p) sum += v;
        for (double& v : p) v /= sum;
      }
      constexpr double kLeast = 1e-4;
      if (p[size_t(c)] < kLeast) continue;
      batch.targets = Tensor::from<int64_t>({1}, {c});
      step.set_input("importance:weight", Tensor::scalar(float(p[size_t(c)] / double(count))));
      step.run(batch, 0, 1);
    }
  }
  std::map<std::string, Tensor> found;
  for (const std::string& name : names) found[name] = step.state(name + ":importance");
  return found;
}

void ConsolidationHook::on_updates(StepGraph& s) {
  Builder b(s.graph);
  for (StepParameter& p : s.parameters) {
    const auto it = consolidation_.find(p.name);
    if (it == consolidation_.end()) continue;
    const ValueId strength = s.add_input(strength_of(p.name), it->second.strength);
    const ValueId anchor = s.add_input(anchor_of(p.name), it->second.anchor);
    const ValueId pull = b.mul(strength, s.rate);
    const ValueId held = b.div(b.add(p.updated, b.mul(pull, anchor)), b.add(pull, 1.0));
    p.updated = b.where(b.greater(strength, b.scalar(kMost, strength)), anchor, held);
  }
}

void ConsolidationHook::change(Trainer& trainer, const Consolidation& consolidation) {
  for (const auto& [name, hold] : consolidation) {
    ESP_CHECK(consolidation_.contains(name), "'" + name + "' was not held before");
    trainer.set_input(strength_of(name), hold.strength);
    trainer.set_input(anchor_of(name), hold.anchor);
  }
  consolidation_ = consolidation;
}

}  // namespace espalier

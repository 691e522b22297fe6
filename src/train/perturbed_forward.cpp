#include "train/perturbed_forward.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/threads.h"
#include "runtime/session.h"
#include "train/graph_part.h"
#include "train/step_session.h"

namespace espalier {
namespace {

std::vector<Tensor> empty_tensors(const std::vector<TensorType>& types) {
  std::vector<Tensor> tensors;
  for (const TensorType& t : types) tensors.emplace_back(t.dtype, t.shape());
  return tensors;
}

/// Values that nodes outside `inside` make and nodes of it read.
std::vector<ValueId> values_before(const Graph& g, const std::vector<bool>& inside) {
  std::vector<ValueId> before;
  for (NodeId id : g.order()) {
    if (!inside[size_t(id)]) continue;
    for (ValueId v : g.node(id).inputs) {
      if (v == kNoValue) continue;
      const NodeId by = g.value(v).producer;
      if (by != kNoNode && !inside[size_t(by)] && std::ranges::find(before, v) == before.end())
        before.push_back(v);
    }
  }
  return before;
}

}  // namespace

PerturbedForward::PerturbedForward(const StepGraph& step, bool reuse) {
  const Graph& g = step.graph;
  const auto name = [&](ValueId v) { return g.value(v).name; };
  input_ = name(step.input);
  targets_ = name(step.targets);
  step_ = name(step.step);
  const std::vector<ValueId> whole = {step.loss};
  suffixes_.push_back({part_of(g, {}, whole), std::vector<bool>(g.node_count(), true), nullptr});
  for (const StepParameter& p : step.parameters) names_.push_back(p.name);
  for (const auto& [state, first] : step.initial)
    if (std::ranges::find(names_, state) == names_.end()) buffers_.push_back(state);
  for (size_t i = 0; i < step.parameters.size(); ++i) add_suffix(g, step.loss, i, reuse);
  std::vector<ValueId> wanted = {step.loss};
  for (const std::string& v : frontier_) wanted.push_back(g.find(v));
  features_ = part_of(g, {}, wanted);
}

PerturbedForward::~PerturbedForward() = default;

void PerturbedForward::add_suffix(const Graph& g, ValueId loss, size_t parameter, bool reuse) {
  const std::vector<ValueId> moved = {g.find(names_[parameter])};
  const std::vector<bool> nodes = nodes_behind(g, moved);
  if (!nodes[size_t(g.value(loss).producer)]) {
    suffix_of_.push_back(-1);
    return;
  }
  const std::vector<ValueId> before = values_before(g, nodes);
  if (!reuse || before.empty()) {
    suffix_of_.push_back(0);
    return;
  }
  const auto same = std::ranges::find(suffixes_, nodes, &Suffix::nodes);
  suffix_of_.push_back(int(same - suffixes_.begin()));
  if (same != suffixes_.end()) return;
  const std::vector<ValueId> wanted = {loss};
  suffixes_.push_back({part_of(g, before, wanted), nodes, nullptr});
  for (ValueId v : suffixes_.back().graph.inputs()) {
    const std::string& name = suffixes_.back().graph.value(v).name;
    if (g.value(g.find(name)).producer == kNoNode) continue;
    if (std::ranges::find(frontier_, name) == frontier_.end()) frontier_.push_back(name);
  }
}

void PerturbedForward::prepare() {
  if (feature_session_) return;
  feature_session_ = std::make_unique<Session>(compile(features_));
  feature_outputs_ = empty_tensors(feature_session_->program().output_types());
  CompileOptions one;
  one.threads = 1;
  for (Suffix& s : suffixes_) s.program = compile(s.graph, one);
  workers_.resize(size_t(num_threads()));
  for (Worker& w : workers_) {
    for (const Suffix& s : suffixes_) w.sessions.push_back(std::make_unique<Session>(s.program));
    w.loss = empty_tensors(suffixes_[0].program->output_types());
  }
}

void PerturbedForward::collect(StepSession& at, const Batch& batch, int64_t number) {
  values_[input_] = batch.inputs;
  values_[targets_] = batch.targets;
  values_[step_] = Tensor::scalar(number);
  for (const std::string& name : buffers_) values_[name] = at.state(name);
  parameters_.clear();
  for (const std::string& name : names_) {
    parameters_.push_back(at.state(name));
    values_[name] = parameters_.back();
  }
}

double PerturbedForward::start(StepSession& at, const Batch& batch, int64_t number) {
  prepare();
  collect(at, batch, number);
  const auto inputs_of = [&](const Program& p) {
    std::vector<Tensor> inputs;
    for (const std::string& name : p.input_names()) inputs.push_back(values_.at(name));
    return inputs;
  };
  feature_inputs_ = inputs_of(feature_session_->program());
  feature_session_->run_into(feature_inputs_, feature_outputs_);
  for (size_t i = 0; i < frontier_.size(); ++i) values_[frontier_[i]] = feature_outputs_[i + 1];
  for (Worker& w : workers_) {
    // The same memory in every step: sessions need not look for it again.
    if (w.parameters.empty())
      for (const Tensor& p : parameters_) w.parameters.push_back(p.clone());
    for (size_t i = 0; i < names_.size(); ++i) {
      std::memcpy(w.parameters[i].mutable_raw(), parameters_[i].raw(), parameters_[i].bytes());
      values_[names_[i]] = w.parameters[i];
    }
    w.inputs.clear();
    for (const Suffix& s : suffixes_) w.inputs.push_back(inputs_of(*s.program));
  }
  ++queries_;
  return feature_outputs_[0].at(0);
}

double PerturbedForward::run(Worker& w, size_t suffix) const {
  w.sessions[suffix]->run_into(w.inputs[suffix], w.loss);
  return w.loss[0].at(0);
}

void PerturbedForward::each(int64_t count, const std::function<void(Worker&, int64_t)>& body) {
  const auto workers = int64_t(workers_.size());
  parallel_chunks(workers, [&](int64_t w) {
    for (int64_t i = w; i < count; i += workers) body(workers_[size_t(w)], i);
  });
}

std::vector<double> PerturbedForward::moved(std::span<const Move> moves) {
  std::vector<double> losses(moves.size());
  each(int64_t(moves.size()), [&](Worker& w, int64_t i) {
    const Move& m = moves[size_t(i)];
    const int suffix = suffix_of_[m.parameter];
    if (suffix < 0) {
      losses[size_t(i)] = feature_outputs_[0].at(0);
      return;
    }
    float& element = w.parameters[m.parameter].mutable_data<float>()[m.element];
    const float before = element;
    element = before + m.by;
    losses[size_t(i)] = run(w, size_t(suffix));
    element = before;
  });
  queries_ += int64_t(moves.size());
  return losses;
}

std::vector<double> PerturbedForward::elsewhere(
    int64_t count, const std::function<void(int64_t, std::vector<Tensor>&)>& point) {
  std::vector<double> losses(static_cast<size_t>(count));
  each(count, [&](Worker& w, int64_t i) {
    point(i, w.parameters);
    losses[size_t(i)] = run(w, 0);
    for (size_t p = 0; p < parameters_.size(); ++p)
      std::memcpy(w.parameters[p].mutable_raw(), parameters_[p].raw(), parameters_[p].bytes());
  });
  queries_ += count;
  return losses;
}

int64_t PerturbedForward::bytes() const {
  if (!feature_session_) return 0;
  const Program& f = feature_session_->program();
  auto total = int64_t(f.arena_bytes() + f.weight_bytes());
  for (const Tensor& t : feature_outputs_) total += int64_t(t.bytes());
  for (const Suffix& s : suffixes_)
    total += int64_t(s.program->weight_bytes()) +
             int64_t(s.program->arena_bytes()) * int64_t(workers_.size());
  for (const Tensor& p : parameters_) total += int64_t(p.bytes()) * int64_t(workers_.size());
  return total;
}

}  // namespace espalier

#include "train/step.h"

#include <algorithm>

#include "base/error.h"
#include "ir/derive.h"
#include "train/forward.h"
#include "train/loss.h"
#include "train/temperature.h"

namespace espalier {

ValueId StepGraph::add_state(const std::string& name, const Tensor& first) {
  ESP_CHECK(graph.find(name) == kNoValue, "the name of state '" + name + "' is taken");
  initial[name] = first;
  return graph.add_input(name, TensorType(first.dtype(), first.shape()));
}

ValueId StepGraph::add_optimizer_state(const std::string& name, const Shape& shape, DType type) {
  const Tensor zero(type, shape);
  optimizer_bytes += int64_t(zero.bytes());
  return add_state(name, zero);
}

ValueId StepGraph::add_input(const std::string& name, const Tensor& first) {
  ESP_CHECK(graph.find(name) == kNoValue, "the name of input '" + name + "' is taken");
  extra_inputs[name] = first;
  return graph.add_input(name, TensorType(first.dtype(), first.shape()));
}

void StepGraph::add_penalty(ValueId penalty) {
  ESP_CHECK(objective != kNoValue, "a penalty is added to a loss");
  objective = Builder(graph).add(objective, penalty);
}

void StepGraph::add_output(const std::string& name, ValueId value) {
  if (graph.value(value).name != name) graph.rename(value, name);
  graph.add_output(value);
}

StepParameter& StepGraph::parameter(const std::string& name) {
  for (StepParameter& p : parameters)
    if (p.name == name) return p;
  throw InternalError("the step has no parameter '" + name + "'");
}

namespace {

/// Whether only contractions read a value, through nodes that merely move it.
bool only_multiplied(const Graph& g, const std::vector<std::vector<NodeId>>& users, ValueId v) {
  const auto& readers = users[size_t(v)];
  return !readers.empty() && std::ranges::all_of(readers, [&](NodeId id) {
    const Cost cost = cost_of(g, id);
    if (cost.macs > 0) return true;
    const Values& results = g.node(id).outputs;
    return cost.flops == 0 && results.size() == 1 && only_multiplied(g, users, results[0]);
  });
}

/// Whether the loss reads temperatures. UserError where it needs them and the network has none.
bool reads_temperature(const Graph& network, const StepOptions& o) {
  const bool there = network.find(kTemperature) != kNoValue;
  if (o.rho && !there)
    throw bad_input(network.name, "predicts no temperature, which 'rho' is about",
                    "adapt: {kind: temperature} puts a prediction behind its logits");
  return there && (o.rho || o.loss == Loss::kContrastive);
}

/// Writes one step.
class StepBuilder {
 public:
  StepBuilder(const Graph& network, const StepOptions& options)
      : network_(network), options_(options), b_(s_.graph) {}

  StepGraph run(std::span<const StepExtension> extensions) {
    add_forward();
    attach_loss(s_, options_);
    for (const StepExtension& e : extensions)
      if (e.on_loss) e.on_loss(s_);
    add_rate();
    add_gradients();
    for (const StepParameter& p : s_.parameters)
      ESP_CHECK(p.gradient != kNoValue, "a rule gives every parameter a gradient");
    for (const StepExtension& e : extensions)
      if (e.on_gradients) e.on_gradients(s_);
    if (options_.clip_norm > 0) clip();
    update();
    for (const StepExtension& e : extensions)
      if (e.on_updates) e.on_updates(s_);
    for (const StepParameter& p : s_.parameters) s_.graph.add_state(p.value, p.updated);
    // Forward and backward are told apart by it, so it must last although nothing reads it.
    if (s_.objective != s_.loss) s_.graph.add_output(s_.objective);
    s_.graph.erase_dead();
    return std::move(s_);
  }

 private:
  void add_forward() {
    const bool tempered = reads_temperature(network_, options_);
    std::vector<std::string> kept;
    if (tempered) kept.emplace_back(kTemperature);
    Forward f = training_forward(network_, {options_.input_type, options_.input}, options_.output,
                                 options_.seed, options_.trained, options_.norms, kept);
    if (f.parameters.empty())
      throw bad_input(network_.name, "has no parameters to train",
                      "weights must be constants of a float type");
    s_.seed = options_.seed;
    std::vector<std::string> multiplied;
    const auto users = f.graph.users();
    for (const std::string& name : f.parameters)
      if (only_multiplied(f.graph, users, f.graph.find(name))) multiplied.push_back(name);
    if (options_.precision != DType::f32) f.graph = narrowed(f.graph, options_.precision, {});
    s_.graph = std::move(f.graph);
    Graph& g = s_.graph;
    s_.input = g.inputs()[0];
    s_.logits = g.outputs()[0];
    if (tempered) s_.temperature = g.outputs()[1];
    g.set_outputs({});
    for (ValueId v : std::vector<ValueId>(g.inputs().begin() + 1, g.inputs().end()))
      if (g.value(v).name != f.step)
        s_.initial[g.value(v).name] = *network_.value(network_.find(g.value(v).name)).constant;
    for (const std::string& name : f.parameters) {
      const ValueId v = g.find(name);
      const bool matrix = g.value(v).tensor().rank() >= 2;
      s_.parameters.push_back({name, v, kNoValue, kNoValue, matrix,
                               matrix && std::ranges::count(multiplied, name) > 0});
    }
    by_gradient_ = std::move(f.by_gradient);
    // Buffers that no training form feeds stay as they are.
    for (const auto& [name, first] : s_.initial)
      if (network_.value(network_.find(name)).role == Role::kBuffer && !f.next.contains(name) &&
          std::ranges::find(by_gradient_, name) == by_gradient_.end())
        g.add_state(g.find(name), g.find(name));
    if (!f.step.empty()) s_.step = g.find(f.step);
  }

  void add_rate() {
    Graph& g = s_.graph;
    s_.rate = g.add_input(g.fresh_name("learning_rate"), TensorType(DType::f32, Dims{}));
    if (s_.step == kNoValue)
      s_.step = g.add_input(g.fresh_name("step"), TensorType(DType::i64, Dims{}));
  }

  void add_gradients() {
    RuleStep rule(s_, options_, by_gradient_);
    options_.rule.unit().write(rule);
    if (!by_gradient_.empty() && !rule.differentiated())
      throw unsupported(network_.name,
                        "keeps statistics of gradients ('" + by_gradient_[0] + "'), which rule '" +
                            options_.rule.kind + "' has not",
                        "leave the rule out");
    if (s_.objective != s_.loss && !options_.rule.backpropagates())
      throw unsupported(
          network_.name,
          "minimises more than its loss, which rule '" + options_.rule.kind + "' does not see",
          "leave the rule out");
  }

  void clip() {
    Values operands;
    for (const StepParameter& p : s_.parameters) operands.push_back(p.gradient);
    const Values clipped = b_.op("espalier.ClipByGlobalNorm", operands,
                                 {{"max_norm", float(options_.clip_norm)}}, "clip");
    for (size_t i = 0; i < s_.parameters.size(); ++i) s_.parameters[i].gradient = clipped.at(i);
  }

  void update() {
    const Optimizer& o = options_.optimizer;
    for (const auto& [name, factor] : options_.rate_factors)
      if (network_.find(name) == kNoValue)
        throw bad_input(network_.name, "has no parameter '" + name + "' whose rate could differ");
    std::vector<ParameterStep> steps;
    for (const StepParameter& p : s_.parameters) {
      const auto factor = options_.rate_factors.find(p.name);
      steps.emplace_back(s_, p, settings_, o.states, p.decays ? o.weight_decay : 0,
                         factor == options_.rate_factors.end() ? 1 : factor->second);
    }
    Values updated;
    if (o.unit().together)
      updated = o.unit().together(steps);
    else
      for (ParameterStep& step : steps) updated.push_back(o.unit().step(step));
    if (!o.states.is_f32() && std::ranges::none_of(steps, &ParameterStep::has_moments))
      throw unsupported("optimizer '" + o.kind + "'",
                        "keeps no moments that could be stored as " + o.states.text(),
                        "leave its states out, or choose adamw");
    for (size_t i = 0; i < updated.size(); ++i) s_.parameters[i].updated = updated[i];
  }

  const Graph& network_;
  const StepOptions& options_;
  const std::map<std::string, double> settings_ = options_.optimizer.all_settings();
  StepGraph s_;
  Builder b_;
  std::vector<std::string> by_gradient_;  ///< buffers; see Forward
};

}  // namespace

StepGraph build_training_step(const Graph& network, const StepOptions& options,
                              std::span<const StepExtension> extensions) {
  return StepBuilder(network, options).run(extensions);
}

Graph with_values(const Graph& network, const std::map<std::string, Tensor>& values) {
  Graph g = network;
  for (ValueId v : g.constants()) {
    const auto it = values.find(g.value(v).name);
    if (it == values.end()) continue;
    ESP_CHECK(it->second.shape() == g.value(v).constant->shape(),
              "the new value of '" + it->first + "' has another shape");
    g.mutable_value(v).constant = it->second;
  }
  return g;
}

}  // namespace espalier

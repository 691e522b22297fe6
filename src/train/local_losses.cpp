#include "train/local_losses.h"

#include <algorithm>

#include "base/error.h"
#include "base/rng.h"
#include "ir/derive.h"
#include "ir/room.h"
#include "passes/differentiate.h"
#include "train/graph_part.h"

namespace espalier {
namespace {

std::vector<ValueId> parameter_values(const StepGraph& s) {
  std::vector<ValueId> values;
  for (const StepParameter& p : s.parameters) values.push_back(p.value);
  return values;
}

/// The value before nodes that merely give its elements another shape.
ValueId before_moves(const Graph& g, ValueId v) {
  for (NodeId id; (id = g.value(v).producer) != kNoNode;) {
    const Cost cost = cost_of(g, id);
    const Node& n = g.node(id);
    if (cost.macs > 0 || cost.flops > 0 || n.outputs.size() != 1) return v;
    ValueId operand = kNoValue;
    for (ValueId in : n.inputs) {
      if (in == kNoValue || g.is_constant(in)) continue;
      if (operand != kNoValue) return v;
      operand = in;
    }
    if (operand == kNoValue ||
        numel(g.value(operand).tensor().shape()) != numel(g.value(v).tensor().shape()))
      return v;
    v = operand;
  }
  return v;
}

}  // namespace

void expand_contractions(StepGraph& s) {
  Graph& g = s.graph;
  const std::string loss = g.value(s.loss).name, logits = g.value(s.logits).name;
  for (bool again = true; again;) {
    again = false;
    const std::vector<NodeId> order = g.order();
    for (NodeId id : order) {
      const Node& n = g.node(id);
      if (!n.room->gradient.derived() || !(cost_of(g, id).macs > 0)) continue;
      expand_in_place(g, id);
      again = true;
    }
  }
  s.loss = g.find(loss);
  s.logits = g.find(logits);
}

std::vector<TrainedContraction> trained_contractions(const StepGraph& s) {
  const Graph& g = s.graph;
  const std::vector<ValueId> parameters = parameter_values(s), input = {s.input};
  const std::vector<bool> trained = values_behind(g, parameters), active = values_behind(g, input);
  std::vector<TrainedContraction> found;
  for (NodeId id : g.order()) {
    if (!(cost_of(g, id).macs > 0)) continue;
    TrainedContraction c{id};
    for (ValueId v : g.node(id).inputs) {
      if (v == kNoValue || !trained[size_t(v)]) continue;
      ValueId& part = active[size_t(v)] ? c.activation : c.weight;
      if (part == kNoValue) part = v;
    }
    if (c.activation != kNoValue && c.weight != kNoValue) found.push_back(c);
  }
  return found;
}

LocalLosses::LocalLosses(RuleStep& rule)
    : rule_(rule), step_(rule.step()), builder_(rule.builder()) {
  expand_contractions(step_);
  find_layers();
  sum_ = step_.loss;
}

void LocalLosses::find_layers() {
  Graph& g = step_.graph;
  const ValueId last = before_moves(g, step_.logits);
  std::vector<ValueId> outputs;
  for (const TrainedContraction& c : trained_contractions(step_)) {
    const ValueId output = before_moves(g, c.activation);
    if (output != last && std::ranges::find(outputs, output) == outputs.end())
      outputs.push_back(output);
  }
  // Cut all first: what an output depends on then is its layer's own.
  std::vector<ValueId> stand_ins;
  for (ValueId v : outputs) stand_ins.push_back(detached(v));
  std::vector<std::vector<bool>> behind;
  for (ValueId v : parameter_values(step_)) behind.push_back(values_behind(g, std::span(&v, 1)));
  const int64_t batch = g.value(step_.input).tensor().shape()[0];
  for (size_t i = 0; i < outputs.size(); ++i) {
    const ValueId v = outputs[i];
    const auto first = std::ranges::find_if(
        behind, [&](const std::vector<bool>& reached) { return bool(reached[size_t(v)]); });
    if (first == behind.end()) continue;
    const Shape shape = g.value(v).tensor().shape();
    if (shape.size() < 2 || shape[0] != batch)
      throw unsupported("rule '" + rule_.options().rule.kind + "'",
                        "trains layers by each sample's part of their output, but '" +
                            g.value(v).name + "' is " + to_string(shape),
                        "choose another rule for this network");
    layers_.push_back({v, stand_ins[i], step_.parameters[size_t(first - behind.begin())].name,
                       Shape(shape.begin() + 1, shape.end())});
  }
}

ValueId LocalLosses::detached(ValueId value) {
  Graph& g = step_.graph;
  const ValueId stand_in =
      g.add_input(g.fresh_name(g.value(value).name + ":detached"), g.value(value).type);
  placeholders_.emplace_back(stand_in, g.value(value).name);
  g.replace_uses(value, stand_in);
  return stand_in;
}

ValueId LocalLosses::projection(const Layer& layer, int64_t from, const Shape& shape,
                                double deviation) {
  Tensor t(DType::f32, {from, numel(shape)});
  const Rng rng(uint64_t(rule_.seed("projection")), stream_of(layer.parameter));
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[i] = float(deviation * rng.normal(uint64_t(i)));
  const std::string name = layer.parameter + ":projection";
  if (const ValueId known = step_.graph.find(name);
      known != kNoValue && step_.graph.value(known).constant->identical(t))
    return known;
  return builder_.constant(t, step_.graph.fresh_name(name));
}

ValueId LocalLosses::projected_target(const Layer& layer, const Shape& shape, double deviation) {
  Graph& g = step_.graph;
  const TensorType targets = g.value(step_.targets).tensor();
  const bool labels = targets.dtype == DType::i64;
  if (targets.rank() != (labels ? 1 : 2))
    throw unsupported("rule '" + rule_.options().rule.kind + "'",
                      "needs one " + std::string(labels ? "label" : "vector") +
                          " for each sample, the targets are " + to_string(targets));
  const int64_t from =
      labels ? g.value(step_.logits).tensor().shape().back() : targets.shape().back();
  const ValueId matrix = projection(layer, from, shape, deviation);
  const ValueId rows = labels ? builder_.one("Gather", {matrix, step_.targets})
                              : builder_.matmul(step_.targets, matrix);
  return as_shape(rows, shape);
}

ValueId LocalLosses::as_shape(ValueId rows, const Shape& shape) {
  std::vector<int64_t> whole = {builder_.type(rows).shape()[0]};
  whole.insert(whole.end(), shape.begin(), shape.end());
  return whole.size() == 2 ? rows : builder_.reshape(rows, whole);
}

ValueId LocalLosses::error() {
  if (error_ != kNoValue) return error_;
  Graph& g = step_.graph;
  const std::vector<ValueId> wrt = {step_.logits};
  const std::string loss = g.value(step_.loss).name, logits = g.value(step_.logits).name;
  const std::string minimised = g.value(sum_).name;
  const ValueId gradient = espalier::differentiate(g, step_.loss, wrt).at(step_.logits);
  step_.loss = g.find(loss);
  step_.logits = g.find(logits);
  sum_ = g.find(minimised);
  return error_ = detached(gradient);
}

void LocalLosses::differentiate() {
  differentiate_last();
  join();
}

void LocalLosses::differentiate_last() { rule_.differentiate(sum_); }

void LocalLosses::teach(ValueId loss) {
  Graph& g = step_.graph;
  std::vector<ValueId> taught;
  for (ValueId v : parameter_values(step_))
    if (values_behind(g, std::span(&v, 1))[size_t(loss)]) taught.push_back(v);
  const auto gradients = espalier::differentiate(g, loss, taught);
  for (StepParameter& p : step_.parameters) {
    const auto own = gradients.find(p.value);
    if (own == gradients.end()) continue;
    // A constant is the zero of what no loss before depends on.
    const bool first = g.is_constant(p.gradient);
    p.gradient = first ? own->second : builder_.add(p.gradient, own->second);
  }
}

void LocalLosses::join() {
  Graph& g = step_.graph;
  for (const auto& [stand_in, name] : placeholders_) {
    g.replace_uses(stand_in, g.find(name));
    g.erase_input(stand_in);
  }
  g.sort();
}

}  // namespace espalier

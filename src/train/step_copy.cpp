#include "train/step_copy.h"

#include <set>
#include <utility>

namespace espalier {

std::vector<bool> forward_nodes(const StepGraph& s) {
  const Graph& g = s.graph;
  std::vector<bool> forward(g.node_count(), false);
  std::vector<ValueId> open = {s.objective, s.loss, s.correct};
  while (!open.empty()) {
    const ValueId v = open.back();
    open.pop_back();
    const NodeId made_by = v == kNoValue ? kNoNode : g.value(v).producer;
    if (made_by == kNoNode || forward[size_t(made_by)]) continue;
    forward[size_t(made_by)] = true;
    for (ValueId in : g.node(made_by).inputs) open.push_back(in);
  }
  return forward;
}

bool made_forward(const Graph& g, const std::vector<bool>& forward, ValueId v) {
  return v != kNoValue && g.value(v).producer != kNoNode && forward[size_t(g.value(v).producer)];
}

std::vector<ValueId> read_behind(const Graph& g, const std::vector<bool>& forward) {
  std::set<ValueId> read;
  for (NodeId n : g.order())
    if (!forward[size_t(n)])
      for (ValueId v : g.node(n).inputs)
        if (made_forward(g, forward, v)) read.insert(v);
  std::vector<ValueId> values;
  for (NodeId n : g.order())
    for (ValueId v : g.node(n).outputs)
      if (read.contains(v)) values.push_back(v);
  return values;
}

StepCopy::StepCopy(const StepGraph& from)
    : from_(from), to_(from), map_(from.graph.value_count(), kNoValue) {
  const Graph& g = from.graph;
  Graph& to = to_.graph = Graph();
  to.name = g.name;
  to.metadata = g.metadata;
  for (ValueId v : g.inputs()) {
    map_[size_t(v)] = to.add_input(g.value(v).name, g.value(v).type);
    to.mutable_value(map_[size_t(v)]).role = g.value(v).role;
  }
  for (ValueId v : g.constants())
    map_[size_t(v)] = to.add_constant(g.value(v).name, *g.value(v).constant, g.value(v).role);
}

std::vector<ValueId> StepCopy::mapped(const std::vector<ValueId>& values) const {
  std::vector<ValueId> all;
  for (ValueId v : values) all.push_back(mapped(v));
  return all;
}

std::string StepCopy::fresh_name(const std::string& base) const {
  std::string name = to_.graph.fresh_name(base);
  while (from_.graph.find(name) != kNoValue) name = to_.graph.fresh_name(name + "+");
  return name;
}

void StepCopy::copy(NodeId n, std::vector<ValueId> inputs) {
  const NodeId made = append(n, std::move(inputs), "");
  const Values &before = from_.graph.node(n).outputs, &now = to_.graph.node(made).outputs;
  for (size_t i = 0; i < before.size(); ++i)
    if (before[i] != kNoValue) map_[size_t(before[i])] = now[i];
}

Values StepCopy::copy_again(NodeId n, std::vector<ValueId> inputs) {
  return to_.graph.node(append(n, std::move(inputs), ":again")).outputs;
}

NodeId StepCopy::append(NodeId n, std::vector<ValueId> inputs, const char* suffix) {
  const Graph& g = from_.graph;
  Graph& to = to_.graph;
  const Node& node = g.node(n);
  std::vector<Type> types;
  std::vector<std::string> names;
  for (ValueId v : node.outputs) {
    types.push_back(v == kNoValue ? Type() : g.value(v).type);
    names.push_back(v == kNoValue ? "" : g.value(v).name);
    if (*suffix != 0) names.back() = fresh_name(names.back() + suffix);
  }
  const NodeId made = to.add_node(*node.room, node.attrs, std::move(inputs), std::move(types),
                                  node.name, std::move(names));
  for (size_t i = 0; i < node.outputs.size(); ++i)
    if (node.outputs[i] != kNoValue)
      to.mutable_value(to.node(made).outputs[i]).role = g.value(node.outputs[i]).role;
  return made;
}

StepGraph StepCopy::finish() {
  const Graph& g = from_.graph;
  for (ValueId v : g.outputs()) to_.graph.add_output(mapped(v));
  for (const StatePair& p : g.states()) to_.graph.add_state(mapped(p.input), mapped(p.output));
  for (ValueId* v : {&to_.input, &to_.targets, &to_.rate, &to_.step, &to_.logits, &to_.loss,
                     &to_.objective, &to_.correct, &to_.temperature})
    *v = mapped(*v);
  for (StepParameter& p : to_.parameters)
    for (ValueId* v : {&p.value, &p.gradient, &p.updated}) *v = mapped(*v);
  to_.graph.erase_dead();
  return std::move(to_);
}

}  // namespace espalier

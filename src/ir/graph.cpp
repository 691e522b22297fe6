#include "ir/graph.h"

#include <algorithm>

#include "base/error.h"
#include "ir/room.h"

namespace espalier {

ValueId Graph::new_value(std::string name, Type type) {
  if (name.empty()) name = fresh_name("v");
  ESP_CHECK(!by_name_.contains(name), "two values are named '" + name + "'");
  const auto id = ValueId(values_.size());
  by_name_.emplace(name, id);
  Value v;
  v.name = std::move(name);
  v.type = std::move(type);
  values_.push_back(std::move(v));
  return id;
}

ValueId Graph::add_input(std::string name, Type type) {
  const ValueId id = new_value(std::move(name), std::move(type));
  inputs_.push_back(id);
  return id;
}

ValueId Graph::add_constant(std::string name, Tensor value, Role role) {
  const ValueId id = new_value(std::move(name), TensorType(value.dtype(), value.shape()));
  values_[size_t(id)].constant = std::move(value);
  values_[size_t(id)].role = role;
  return id;
}

NodeId Graph::add_node(const Room& room, Attributes attrs, std::vector<ValueId> inputs,
                       std::vector<Type> output_types, std::string name,
                       std::vector<std::string> output_names) {
  const auto id = NodeId(nodes_.size());
  Node node;
  node.room = &room;
  node.name = std::move(name);
  node.attrs = std::move(attrs);
  node.inputs = std::move(inputs);
  for (size_t i = 0; i < output_types.size(); ++i) {
    std::string out_name = i < output_names.size() ? output_names[i] : "";
    const ValueId v = new_value(std::move(out_name), std::move(output_types[i]));
    values_[size_t(v)].producer = id;
    values_[size_t(v)].output_index = int32_t(i);
    node.outputs.push_back(v);
  }
  nodes_.push_back(std::move(node));
  order_.push_back(id);
  return id;
}

const Value& Graph::value(ValueId id) const {
  ESP_CHECK(id >= 0 && size_t(id) < values_.size() && values_[size_t(id)].alive,
            "no such value " + std::to_string(id));
  return values_[size_t(id)];
}
const Node& Graph::node(NodeId id) const {
  ESP_CHECK(id >= 0 && size_t(id) < nodes_.size() && nodes_[size_t(id)].alive,
            "no such node " + std::to_string(id));
  return nodes_[size_t(id)];
}
Value& Graph::mutable_value(ValueId id) { return const_cast<Value&>(value(id)); }
Node& Graph::mutable_node(NodeId id) { return const_cast<Node&>(node(id)); }

std::vector<ValueId> Graph::constants() const {
  std::vector<ValueId> ids;
  for (size_t i = 0; i < values_.size(); ++i)
    if (values_[i].alive && values_[i].constant) ids.push_back(ValueId(i));
  return ids;
}

ValueId Graph::find(const std::string& name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? kNoValue : it->second;
}

std::vector<std::vector<NodeId>> Graph::users() const {
  std::vector<std::vector<NodeId>> users(values_.size());
  for (NodeId n : order_)
    for (ValueId v : nodes_[size_t(n)].inputs)
      if (v != kNoValue) users[size_t(v)].push_back(n);
  return users;
}

std::string Graph::fresh_name(const std::string& base) const {
  if (!base.empty() && !by_name_.contains(base) && base != "v") return base;
  int& counter = name_counters_[base];
  std::string name;
  do {
    name = base + "_" + std::to_string(counter++);
  } while (by_name_.contains(name));
  return name;
}

void Graph::replace_uses(ValueId from, ValueId to) {
  for (NodeId n : order_)
    for (ValueId& v : nodes_[size_t(n)].inputs)
      if (v == from) v = to;
  for (ValueId& v : outputs_)
    if (v == from) v = to;
  for (StatePair& s : states_)
    if (s.output == from) s.output = to;
  // Who takes over the readers takes over the place, with what it waits for: appended nodes would
  // run last of what is ready, and memory planned for one order would not do for the other.
  const NodeId old = value(from).producer, taking = value(to).producer;
  if (old == kNoNode || taking == kNoNode) return;
  const auto begin = std::find(order_.begin(), order_.end(), old);
  const auto end = begin == order_.end() ? begin : std::find(begin, order_.end(), taking);
  if (end == order_.end()) return;
  std::vector<bool> moves(nodes_.size(), false);
  moves[size_t(taking)] = true;
  for (auto at = end; at != begin; --at)
    if (moves[size_t(*at)])
      for (ValueId v : nodes_[size_t(*at)].inputs)
        if (v != kNoValue && values_[size_t(v)].producer != kNoNode)
          moves[size_t(values_[size_t(v)].producer)] = true;
  std::stable_partition(begin + 1, end + 1, [&](NodeId n) { return moves[size_t(n)]; });
}

void Graph::erase_node(NodeId id) {
  Node& n = mutable_node(id);
  n.alive = false;
  for (ValueId v : n.outputs) {
    if (v == kNoValue) continue;
    by_name_.erase(values_[size_t(v)].name);
    values_[size_t(v)].alive = false;
  }
  order_.erase(std::find(order_.begin(), order_.end(), id));
}

void Graph::drop_results(NodeId id, size_t keep) {
  auto& outputs = mutable_node(id).outputs;
  for (; outputs.size() > keep; outputs.pop_back()) {
    if (outputs.back() == kNoValue) continue;
    Value& v = mutable_value(outputs.back());
    by_name_.erase(v.name);
    v.alive = false;
  }
}

void Graph::erase_value(ValueId id) {
  Value& v = mutable_value(id);
  ESP_CHECK(v.producer == kNoNode, "a produced value is erased with its node");
  by_name_.erase(v.name);
  v.alive = false;
  v.constant.reset();
}

void Graph::erase_input(ValueId id) {
  inputs_.erase(std::find(inputs_.begin(), inputs_.end(), id));
  erase_value(id);
}

void Graph::rename(ValueId id, std::string name) {
  Value& v = mutable_value(id);
  if (v.name == name) return;
  ESP_CHECK(!by_name_.contains(name), "the name '" + name + "' is taken");
  by_name_.erase(v.name);
  by_name_.emplace(name, id);
  v.name = std::move(name);
}

int Graph::erase_dead() {
  std::vector<bool> needed(values_.size(), false);
  for (ValueId v : outputs_) needed[size_t(v)] = true;
  for (const StatePair& s : states_) needed[size_t(s.output)] = true;
  std::vector<NodeId> kept;
  int erased = 0;
  for (size_t i = order_.size(); i-- > 0;) {
    Node& n = nodes_[size_t(order_[i])];
    bool live = false;
    for (ValueId v : n.outputs) live = live || (v != kNoValue && needed[size_t(v)]);
    if (live) {
      for (ValueId v : n.inputs)
        if (v != kNoValue) needed[size_t(v)] = true;
      kept.push_back(order_[i]);
    } else {
      n.alive = false;
      for (ValueId v : n.outputs) {
        if (v == kNoValue) continue;
        by_name_.erase(values_[size_t(v)].name);
        values_[size_t(v)].alive = false;
      }
      ++erased;
    }
  }
  order_.assign(kept.rbegin(), kept.rend());
  for (size_t i = 0; i < values_.size(); ++i) {
    if (!values_[i].alive || !values_[i].constant || needed[i]) continue;
    erase_value(ValueId(i));
    ++erased;
  }
  return erased;
}

void Graph::sort() {
  std::vector<int> waiting(nodes_.size(), 0);
  std::vector<std::vector<NodeId>> readers(values_.size());
  std::vector<NodeId> ready;
  std::vector<size_t> rank(nodes_.size(), 0);
  for (size_t i = 0; i < order_.size(); ++i) rank[size_t(order_[i])] = i;
  for (NodeId n : order_) {
    for (ValueId v : nodes_[size_t(n)].inputs) {
      if (v == kNoValue || values_[size_t(v)].producer == kNoNode) continue;
      readers[size_t(v)].push_back(n);
      ++waiting[size_t(n)];
    }
    if (waiting[size_t(n)] == 0) ready.push_back(n);
  }
  // A heap on the previous position keeps the order stable.
  const auto later = [&](NodeId a, NodeId b) { return rank[size_t(a)] > rank[size_t(b)]; };
  std::make_heap(ready.begin(), ready.end(), later);
  std::vector<NodeId> sorted;
  while (!ready.empty()) {
    std::pop_heap(ready.begin(), ready.end(), later);
    const NodeId n = ready.back();
    ready.pop_back();
    sorted.push_back(n);
    for (ValueId v : nodes_[size_t(n)].outputs) {
      if (v == kNoValue) continue;
      for (NodeId r : readers[size_t(v)]) {
        if (--waiting[size_t(r)] > 0) continue;
        ready.push_back(r);
        std::push_heap(ready.begin(), ready.end(), later);
      }
    }
  }
  if (sorted.size() != order_.size()) {
    for (NodeId n : order_)
      if (waiting[size_t(n)] > 0)
        throw bad_input(describe(*this, n), "lies on a cycle",
                        "a graph must not feed a node's result back into itself");
  }
  order_ = std::move(sorted);
}

Graph Graph::compacted() const {
  Graph g;
  g.name = name;
  g.metadata = metadata;
  std::vector<ValueId> map(values_.size(), kNoValue);
  const auto mapped = [&](ValueId v) { return v == kNoValue ? kNoValue : map[size_t(v)]; };
  for (ValueId v : inputs_) {
    map[size_t(v)] = g.add_input(value(v).name, value(v).type);
    g.values_[size_t(map[size_t(v)])].role = value(v).role;
  }
  for (ValueId v : constants())
    map[size_t(v)] = g.add_constant(value(v).name, *value(v).constant, value(v).role);
  for (NodeId id : order_) {
    const Node& n = nodes_[size_t(id)];
    std::vector<ValueId> ins;
    for (ValueId v : n.inputs) ins.push_back(mapped(v));
    const auto node_id = NodeId(g.nodes_.size());
    Node copy;
    copy.room = n.room;
    copy.name = n.name;
    copy.attrs = n.attrs;
    copy.inputs = std::move(ins);
    for (size_t i = 0; i < n.outputs.size(); ++i) {
      if (n.outputs[i] == kNoValue) {
        copy.outputs.push_back(kNoValue);
        continue;
      }
      const Value& v = value(n.outputs[i]);
      const ValueId fresh = g.new_value(v.name, v.type);
      g.values_[size_t(fresh)].producer = node_id;
      g.values_[size_t(fresh)].output_index = int32_t(i);
      g.values_[size_t(fresh)].role = v.role;
      map[size_t(n.outputs[i])] = fresh;
      copy.outputs.push_back(fresh);
    }
    g.nodes_.push_back(std::move(copy));
    g.order_.push_back(node_id);
  }
  for (ValueId v : outputs_) g.add_output(mapped(v));
  for (const StatePair& s : states_) g.add_state(mapped(s.input), mapped(s.output));
  return g;
}

std::string describe(const Graph& graph, NodeId id) {
  const Node& n = graph.node(id);
  std::string label = n.name;
  if (label.empty() && !n.outputs.empty() && n.outputs[0] != kNoValue)
    label = graph.value(n.outputs[0]).name;
  return n.room->full_name() + " '" + label + "'";
}

}  // namespace espalier

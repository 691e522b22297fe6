#include "train/graph_part.h"

#include <algorithm>

#include "ir/builder.h"

namespace espalier {

Graph part_of(const Graph& from, std::span<const ValueId> given, std::span<const ValueId> wanted) {
  std::vector<bool> needed(from.value_count(), false), stop(from.value_count(), false);
  for (ValueId v : given) stop[size_t(v)] = true;
  for (ValueId v : wanted) needed[size_t(v)] = true;
  std::vector<NodeId> nodes;
  for (size_t i = from.order().size(); i-- > 0;) {
    const Node& n = from.node(from.order()[i]);
    if (std::ranges::none_of(n.outputs, [&](ValueId v) {
          return v != kNoValue && needed[size_t(v)] && !stop[size_t(v)];
        }))
      continue;
    nodes.push_back(from.order()[i]);
    for (ValueId v : n.inputs)
      if (v != kNoValue) needed[size_t(v)] = true;
  }
  Graph to;
  to.name = from.name;
  Builder builder(to);
  std::vector<ValueId> map(from.value_count(), kNoValue);
  const auto add_input = [&](ValueId v) {
    if (!needed[size_t(v)]) return;
    map[size_t(v)] = to.add_input(from.value(v).name, from.value(v).type);
    to.mutable_value(map[size_t(v)]).role = from.value(v).role;
  };
  for (ValueId v : from.inputs()) add_input(v);
  for (ValueId v : given)
    if (map[size_t(v)] == kNoValue) add_input(v);
  for (ValueId v : from.constants())
    if (needed[size_t(v)])
      map[size_t(v)] = to.add_constant(from.value(v).name, *from.value(v).constant);
  for (auto id = nodes.rbegin(); id != nodes.rend(); ++id) {
    const Node& n = from.node(*id);
    std::vector<ValueId> operands;
    for (ValueId v : n.inputs) operands.push_back(v == kNoValue ? kNoValue : map[size_t(v)]);
    std::vector<std::string> names;
    for (ValueId v : n.outputs) {
      // Nobody may take the name of a later value; one that is given stands under its own already.
      const bool own = v != kNoValue && !stop[size_t(v)];
      names.push_back(own ? from.value(v).name : from.fresh_name("left out"));
    }
    const Values results = builder.op(*n.room, n.attrs, operands, n.name, names);
    for (size_t i = 0; i < n.outputs.size(); ++i)
      if (n.outputs[i] != kNoValue && !stop[size_t(n.outputs[i])])
        map[size_t(n.outputs[i])] = results.at(i);
  }
  for (ValueId v : wanted) to.add_output(map[size_t(v)]);
  return to;
}

std::vector<bool> nodes_behind(const Graph& g, std::span<const ValueId> from) {
  std::vector<bool> reached(g.value_count(), false), nodes(g.node_count(), false);
  for (ValueId v : from) reached[size_t(v)] = true;
  for (NodeId id : g.order()) {
    const Node& n = g.node(id);
    if (std::ranges::none_of(n.inputs,
                             [&](ValueId v) { return v != kNoValue && reached[size_t(v)]; }))
      continue;
    nodes[size_t(id)] = true;
    for (ValueId v : n.outputs)
      if (v != kNoValue) reached[size_t(v)] = true;
  }
  return nodes;
}

std::vector<bool> values_behind(const Graph& g, std::span<const ValueId> from) {
  std::vector<bool> reached(g.value_count(), false);
  for (ValueId v : from) reached[size_t(v)] = true;
  const std::vector<bool> nodes = nodes_behind(g, from);
  for (NodeId id : g.order())
    for (ValueId v : g.node(id).outputs)
      if (v != kNoValue && nodes[size_t(id)]) reached[size_t(v)] = true;
  return reached;
}

}  // namespace espalier

#include "ir/derive.h"

#include "base/error.h"
#include "ir/patch.h"
#include "ir/room.h"

namespace espalier {

Values splice(Builder& builder, const Graph& body, const Values& operands) {
  ESP_CHECK(operands.size() == body.inputs().size(), "a body is spliced with all its operands");
  Graph& g = builder.graph();
  Values map(body.value_count(), kNoValue);
  for (size_t i = 0; i < operands.size(); ++i) map[size_t(body.inputs()[i])] = operands[i];
  for (ValueId v : body.constants()) {
    const Value& value = body.value(v);
    map[size_t(v)] = g.add_constant(g.fresh_name(value.name), *value.constant, value.role);
  }
  for (NodeId id : body.order()) {
    const Node& n = body.node(id);
    Values inputs;
    for (ValueId v : n.inputs) inputs.push_back(v == kNoValue ? kNoValue : map[size_t(v)]);
    std::vector<std::string> names;
    for (ValueId v : n.outputs) names.push_back(g.fresh_name(body.value(v).name));
    const Values results = builder.op(*n.room, n.attrs, inputs, n.name, std::move(names));
    for (size_t i = 0; i < n.outputs.size(); ++i) map[size_t(n.outputs[i])] = results[i];
  }
  Values results;
  for (ValueId v : body.outputs()) results.push_back(map[size_t(v)]);
  return results;
}

Graph expansion_of(const Graph& graph, NodeId id) {
  const Node& n = graph.node(id);
  Graph g;
  g.name = describe(graph, id);
  Values operands;
  for (ValueId v : n.inputs) {
    if (v == kNoValue) {
      operands.push_back(kNoValue);
    } else if (const ValueId known = g.find(graph.value(v).name); known != kNoValue) {
      operands.push_back(known);
    } else if (graph.is_constant(v)) {
      operands.push_back(g.add_constant(graph.value(v).name, *graph.value(v).constant));
    } else {
      operands.push_back(g.add_input(graph.value(v).name, graph.value(v).type));
    }
  }
  Builder builder(g);
  g.set_outputs(expand_node(*n.room, n.attrs, builder, operands));
  return g;
}

Cost cost_of(const Graph& graph, NodeId id) {
  const Node& n = graph.node(id);
  if (n.room->cost.refused()) throw unsupported(describe(graph, id), n.room->cost.why());
  if (n.room->cost.derived()) {
    Cost cost = cost_of(expansion_of(graph, id));
    // A perfect kernel keeps the expansion's intermediate results to itself.
    cost.bytes = traffic(types_in(graph, id), types_out(graph, id));
    return cost;
  }
  return (*n.room->cost)(n.attrs, types_in(graph, id), types_out(graph, id));
}

Cost cost_of(const Graph& graph) {
  Cost sum;
  for (NodeId id : graph.order()) sum += cost_of(graph, id);
  return sum;
}

void expand_in_place(Graph& graph, NodeId id) {
  const Node n = graph.node(id);
  Patch patch(graph);
  const Values results = expand_node(*n.room, n.attrs, patch.builder(), n.inputs);
  for (size_t i = 0; i < n.outputs.size(); ++i)
    if (n.outputs[i] != kNoValue) patch.shunt(n.outputs[i], results.at(i));
  patch.apply();
  graph.erase_node(id);
}

}  // namespace espalier

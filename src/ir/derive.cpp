#include "ir/derive.h"

#include <algorithm>

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
    for (ValueId v : n.outputs)
      names.push_back(v == kNoValue ? "" : g.fresh_name(body.value(v).name));
    const Values results = builder.op(*n.room, n.attrs, inputs, n.name, std::move(names));
    for (size_t i = 0; i < n.outputs.size(); ++i)
      if (n.outputs[i] != kNoValue) map[size_t(n.outputs[i])] = results.at(i);
  }
  Values results;
  for (ValueId v : body.outputs()) results.push_back(map[size_t(v)]);
  return results;
}

bool is_own_result(const Graph& graph, const Values& results, size_t i, ValueId first) {
  const ValueId v = results[i];
  return v >= first && !graph.is_constant(v) && std::ranges::count(results, v) == 1;
}

void take_places(Builder& builder, std::span<const ValueId> places, const Values& results,
                 ValueId first) {
  Graph& g = builder.graph();
  for (size_t i = 0; i < places.size(); ++i) {
    const ValueId from = places[i];
    if (from == kNoValue) continue;
    ValueId to = results.at(i);
    // What existed before keeps its name; a graph output keeps its own.
    const bool named = std::ranges::find(g.outputs(), from) != g.outputs().end();
    if (named && !is_own_result(g, results, i, first)) to = builder.one("Identity", {to});
    g.replace_uses(from, to);
    if (to < first) continue;
    const std::string name = g.value(from).name;
    g.rename(from, g.fresh_name(name + "_joined"));
    if (g.value(to).producer != kNoNode) g.rename(to, name);
  }
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
  // Of what has no fixed size the bytes that are known are all that can be said.
  const auto open = [&](ValueId v) {
    return v != kNoValue && element_type_of(graph.value(v).type) &&
           !graph.value(v).type.is_static();
  };
  if (!n.room->control &&
      (std::ranges::any_of(n.inputs, open) || std::ranges::any_of(n.outputs, open)))
    return {0, 0, traffic(types_in(graph, id), types_out(graph, id))};
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

namespace {

/// The body in place of the node, reading its captured operands.
void inline_body(Graph& g, NodeId id, const Graph& body) {
  const Node n = g.node(id);
  const Values operands(n.inputs.end() - std::ptrdiff_t(body.inputs().size()), n.inputs.end());
  const auto first = ValueId(g.value_count());
  Builder builder(g);
  const Values results = splice(builder, body, operands);
  take_places(builder, n.outputs, results, first);
  g.erase_node(id);
  g.sort();
}

}  // namespace

GraphRef body_in_place(const Room& room, const Attributes& attrs, const TypesIn& in) {
  if (!room.control || !room.control->inlined) return nullptr;
  const auto which = room.control->inlined(attrs, in);
  return which ? room.control->bodies(attrs).at(*which) : nullptr;
}

int inline_bodies(Graph& graph) {
  int inlined = 0;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    const Node& n = graph.node(id);
    if (!n.room->control) continue;
    const GraphRef body = body_in_place(*n.room, n.attrs, types_in(graph, id));
    if (!body) continue;
    inline_body(graph, id, *body);
    ++inlined;
  }
  return inlined;
}

std::string dynamics_of(const Graph& graph) {
  const auto of_type = [](const Type& type) -> std::string {
    const auto dtype = element_type_of(type);
    if (!dtype) return "is " + to_string(type);
    return type.is_static() ? ""
                            : "has the type " + to_string(type) + ", whose size depends on data";
  };
  for (ValueId v : graph.inputs())
    if (const std::string why = of_type(graph.value(v).type); !why.empty())
      return "input '" + graph.value(v).name + "' " + why;
  for (NodeId id : graph.order()) {
    const Node& n = graph.node(id);
    if (n.room->control) return describe(graph, id) + " decides while running what is computed";
    for (ValueId v : n.outputs) {
      if (v == kNoValue) continue;
      const std::string why = of_type(graph.value(v).type);
      if (!why.empty()) return "the result of " + describe(graph, id) + " " + why;
    }
  }
  return "";
}

UserError depends_on_data(const std::string& where, const std::string& dynamics) {
  return unsupported(where, "depends on data: " + dynamics,
                     "run, check, eval, bench and export take such networks");
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

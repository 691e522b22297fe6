#include "ir/verify.h"

#include <set>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/room.h"

namespace espalier {
namespace {

std::string check_node(const Graph& g, NodeId id, const std::vector<bool>& available) {
  const Node& n = g.node(id);
  const std::string label = describe(g, id);
  for (size_t i = 0; i < n.inputs.size(); ++i) {
    const ValueId v = n.inputs[i];
    if (v == kNoValue) continue;
    if (v < 0 || size_t(v) >= g.value_count())
      return label + ": operand " + std::to_string(i) + " names no value";
    if (!available[size_t(v)])
      return label + ": operand " + std::to_string(i) + " is read before it is produced";
  }
  for (ValueId v : n.outputs)
    if (v != kNoValue && g.value(v).producer != id)
      return label + ": result '" + g.value(v).name + "' names another producer";
  Types types;
  try {
    types = infer_types(g, *n.room, n.attrs, n.inputs, label);
  } catch (const UserError& e) {
    return std::string("inference fails: ") + e.what();
  }
  if (n.room->control)
    for (const GraphRef& body : n.room->control->bodies(n.attrs))
      if (const std::string inside = violation(*body); !inside.empty())
        return label + ", body '" + body->name + "': " + inside;
  if (n.outputs.size() > types.size())
    return label + ": has " + std::to_string(n.outputs.size()) + " results, inference gives " +
           std::to_string(types.size());
  for (size_t i = 0; i < n.outputs.size(); ++i) {
    if (n.outputs[i] == kNoValue) continue;
    const Value& v = g.value(n.outputs[i]);
    // A value may be known more exactly than inference can tell, never differently.
    if (!refines(v.type, types[i]) && !refines(types[i], v.type))
      return label + ": result '" + v.name + "' is " + to_string(v.type) + ", inference gives " +
             to_string(types[i]);
  }
  return "";
}

}  // namespace

std::string violation(const Graph& g) {
  std::vector<bool> available(g.value_count(), false);
  for (ValueId v : g.inputs()) available[size_t(v)] = true;
  for (ValueId v : g.constants()) {
    available[size_t(v)] = true;
    const Value& value = g.value(v);
    if (value.type != Type(TensorType(value.constant->dtype(), value.constant->shape())))
      return "constant '" + value.name + "' is typed " + to_string(value.type) + " but holds " +
             to_string(TensorType(value.constant->dtype(), value.constant->shape()));
  }
  for (NodeId id : g.order()) {
    if (std::string problem = check_node(g, id, available); !problem.empty()) return problem;
    for (ValueId v : g.node(id).outputs) {
      if (v == kNoValue) continue;
      if (available[size_t(v)]) return describe(g, id) + ": a result is produced twice";
      available[size_t(v)] = true;
    }
  }
  for (ValueId v : g.outputs())
    if (v < 0 || size_t(v) >= g.value_count() || !available[size_t(v)])
      return "a graph output is never produced";
  std::set<ValueId> inputs(g.inputs().begin(), g.inputs().end());
  for (const StatePair& s : g.states()) {
    if (!inputs.contains(s.input)) return "a state reads something that is no graph input";
    if (!available[size_t(s.output)]) return "a state is fed by nothing";
    if (g.value(s.input).type != g.value(s.output).type)
      return "state '" + g.value(s.input).name + "' is " + to_string(g.value(s.input).type) +
             " but is fed " + to_string(g.value(s.output).type);
  }
  return "";
}

void verify(const Graph& graph, const std::string& after) {
  const std::string problem = violation(graph);
  ESP_CHECK(problem.empty(), "the graph is broken after " + after + ": " + problem);
}

}  // namespace espalier

// Nodes that return their operand unchanged: Identity, a Cast to the same type, a Reshape or
// Transpose that moves nothing, a Dropout in inference, a sum of one operand.
#include <set>
#include <string>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/room.h"
#include "passes/fuse_region.h"

namespace espalier::passes {
namespace {

/// Operators of one data operand that keep every element in place whenever the type stays the same.
const std::set<std::string>& shape_only() {
  static const std::set<std::string> names = {"Reshape", "Flatten", "Squeeze", "Unsqueeze",
                                              "Expand"};
  return names;
}

bool transposes_nothing(const AttributeMap& attributes) {
  const auto it = attributes.find("perm");
  if (it == attributes.end()) return false;
  const auto& perm = std::get<std::vector<int64_t>>(it->second);
  for (size_t i = 0; i < perm.size(); ++i)
    if (perm[i] != int64_t(i)) return false;
  return true;
}

/// A pointwise operator whose function is the identity with these operands.
bool computes_identity(const Graph& g, NodeId id) {
  const Room& room = *g.node(id).room;
  if (!room.pointwise.answered()) return false;
  const auto function = (*room.pointwise)(g.node(id).attrs, types_in(g, id));
  return function && function->code == ScalarCode::kIdentity;
}

/// Whether the result of operand 0's type is of it still where open extents turn out to be one:
/// what drops axes of one leaves open ones alone until they are known.
bool whatever_extents(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  const Value& x = g.value(n.inputs[0]);
  if (x.type.is_static()) return true;
  TensorType one = x.tensor();
  for (Dim& d : one.dims)
    if (!d.known()) d = Dim(1);
  const Type closed = one;
  std::vector<TypesIn::Operand> operands = {{&closed, nullptr}};
  for (size_t i = 1; i < n.inputs.size(); ++i) {
    if (n.inputs[i] == kNoValue) {
      operands.emplace_back();
      continue;
    }
    const Value& v = g.value(n.inputs[i]);
    operands.push_back({&v.type, v.constant ? &*v.constant : nullptr});
  }
  try {
    return infer_types(*n.room, n.attrs, TypesIn(describe(g, id), std::move(operands)))[0] ==
           closed;
  } catch (const UserError&) {
    return true;  // the network takes no such extents
  }
}

bool is_identity(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  const Type &x = g.value(n.inputs.at(0)).type, &y = g.value(n.outputs.at(0)).type;
  if (!n.room->op.domain.empty() || !tensors_only(g, id)) return false;
  if (x != y) return false;
  if (shape_only().contains(n.room->op.name)) return whatever_extents(g, id);
  if (n.room->op.name == "Transpose") return transposes_nothing(n.room->print(n.attrs, true));
  return computes_identity(g, id);
}

}  // namespace

int fold_identity(Graph& graph) {
  int removed = 0;
  const Readers readers(graph);
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    const Node& n = graph.node(id);
    if (n.inputs.empty() || n.inputs[0] == kNoValue || n.outputs.empty() ||
        n.outputs[0] == kNoValue || !is_identity(graph, id))
      continue;
    bool others_used = false;
    for (size_t i = 1; i < n.outputs.size(); ++i)
      others_used = others_used || (n.outputs[i] != kNoValue && readers.count(n.outputs[i]) > 0);
    if (others_used) continue;
    const ValueId from = n.outputs[0], to = n.inputs[0];
    // A graph output keeps a node of its own when its operand is an input or a constant.
    bool is_output = false;
    for (ValueId v : graph.outputs()) is_output = is_output || v == from;
    for (const StatePair& s : graph.states()) is_output = is_output || s.output == from;
    if (is_output) {
      if (graph.value(to).producer == kNoNode) continue;
      bool to_is_output = false;
      for (ValueId v : graph.outputs()) to_is_output = to_is_output || v == to;
      if (to_is_output) continue;
      const std::string name = graph.value(from).name;
      graph.replace_uses(from, to);
      graph.erase_node(id);
      graph.rename(to, name);
    } else {
      graph.replace_uses(from, to);
      graph.erase_node(id);
    }
    ++removed;
  }
  return removed;
}

}  // namespace espalier::passes

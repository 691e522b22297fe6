// Constant folding: nodes whose operands are all known are evaluated with reference kernels, and so
// are nodes whose result follows from types alone (shapes).
//
// A result larger than its operands is not folded: a dequantised weight, an expanded constant would
// take memory and bandwidth that the node itself saves.
#include <algorithm>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/reference.h"
#include "ir/room.h"

namespace espalier::passes {
namespace {

constexpr size_t kAlwaysFoldBytes = 64;

bool worth_folding(const Graph& g, const Node& n) {
  size_t in = 0, out = 0;
  for (ValueId v : n.inputs)
    if (v != kNoValue) in += g.value(v).constant->bytes();
  for (ValueId v : n.outputs) {
    if (v == kNoValue) continue;
    const Type& t = g.value(v).type;
    if (!element_type_of(t)) return false;  // constants are tensors
    // An unknown extent becomes known by evaluating; such results are shapes, and small.
    if (!t.is_static()) continue;
    out += size_t(t.tensor().numel()) * size_of(t.tensor().dtype);
  }
  return out <= std::max(in, kAlwaysFoldBytes);
}

std::vector<Tensor> known_results(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  if (n.room->known)
    if (auto t = n.room->known(n.attrs, types_in(g, id))) return {std::move(*t)};
  if (!n.room->foldable()) return {};
  std::vector<const Tensor*> operands;
  for (ValueId v : n.inputs) {
    if (v != kNoValue && !g.is_constant(v)) return {};
    operands.push_back(v == kNoValue ? nullptr : &*g.value(v).constant);
  }
  if (!worth_folding(g, n)) return {};
  return run_reference(*n.room, n.attrs, operands, describe(g, id));
}

/// What is computed from parameters is learned as well.
Role role_of(const Graph& g, const Node& n, const Tensor& result) {
  const bool learned = std::ranges::any_of(n.inputs, [&](ValueId v) {
    return v != kNoValue && g.value(v).role == Role::kParameter &&
           is_float(g.value(v).tensor().dtype);
  });
  return learned && is_float(result.dtype()) && result.rank() > 0 ? Role::kParameter : Role::kNone;
}

}  // namespace

int fold_constants(Graph& graph) {
  int folded = 0;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    auto results = known_results(graph, id);
    if (results.empty()) {
      // Folded operands may tell more about the result (a reshape's target, say).
      const Node& n = graph.node(id);
      const Types types = infer_types(graph, *n.room, n.attrs, n.inputs, describe(graph, id));
      for (size_t i = 0; i < n.outputs.size(); ++i)
        if (n.outputs[i] != kNoValue && refines(types.at(i), graph.value(n.outputs[i]).type))
          graph.mutable_value(n.outputs[i]).type = types[i];
      continue;
    }
    const std::vector<ValueId> outputs = graph.node(id).outputs;
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i] == kNoValue) continue;
      const std::string name = graph.value(outputs[i]).name;
      graph.rename(outputs[i], graph.fresh_name(name + "_folded"));
      const Role role = role_of(graph, graph.node(id), results.at(i));
      graph.replace_uses(outputs[i], graph.add_constant(name, std::move(results.at(i)), role));
    }
    graph.erase_node(id);
    ++folded;
  }
  return folded;
}

}  // namespace espalier::passes

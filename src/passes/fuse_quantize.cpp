// Layer normalisation takes along the quantisation of its result, so that the integers an integer
// product reads are written while a row is at hand. Who else reads the result gets it in float.
#include <algorithm>

#include "bind/attention_form.h"
#include "passes/fuse_region.h"

namespace espalier::passes {
namespace {

/// The one QuantizeLinear to 8 bits with one known scale that reads `v`; kNoNode where there is
/// none, or several.
NodeId quantiser_of(const Graph& g, const std::vector<NodeId>& readers, ValueId v) {
  NodeId found = kNoNode;
  for (NodeId id : readers) {
    const Node& n = g.node(id);
    if (n.room->full_name() != "QuantizeLinear" || n.inputs[0] != v) continue;
    if (found != kNoNode) return kNoNode;
    if (!bind::stored_as(g, id)) return kNoNode;
    found = id;
  }
  return found;
}

/// Results beside the first are not asked for.
bool gives_one(const Graph& g, const Readers& readers, NodeId id) {
  const auto& out = g.node(id).outputs;
  return std::all_of(out.begin() + 1, out.end(),
                     [&](ValueId v) { return v == kNoValue || readers.count(v) == 0; });
}

}  // namespace

int fuse_quantize(Graph& graph) {
  const Readers readers(graph);
  const auto users = graph.users();
  const std::vector<NodeId> order = graph.order();
  std::vector<bool> taken(graph.node_count(), false);
  int regions = 0;
  for (NodeId id : order) {
    if (taken[size_t(id)] || graph.node(id).room->full_name() != "LayerNormalization" ||
        !tensors_only(graph, id) || !gives_one(graph, readers, id))
      continue;
    const ValueId normal = graph.node(id).outputs[0];
    if (graph.value(normal).tensor().dtype != DType::f32) continue;
    const NodeId stores = quantiser_of(graph, users[size_t(normal)], normal);
    if (stores == kNoNode) continue;
    std::vector<ValueId> results = {graph.node(stores).outputs[0]};
    if (readers.count(normal) > 1) results.push_back(normal);
    const NodeId nodes[] = {id, stores};
    taken[size_t(stores)] = true;
    make_region(graph, nodes, results);
    ++regions;
  }
  return regions;
}

}  // namespace espalier::passes

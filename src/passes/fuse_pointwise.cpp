// Chains of pointwise operators become one region, so that intermediate results stay in registers
// or in the first-level cache.
//
// Nodes join along values that have a single reader and the shape of the region's result; a value
// that is broadcast later, or read twice, stays a boundary. 8-bit integers are dequantised inside,
// and the result is quantised inside, where their scale is one known number.
#include <algorithm>
#include <map>

#include "bind/attention_nodes.h"
#include "ir/builder.h"
#include "ir/room.h"
#include "passes/fuse_region.h"

namespace espalier::passes {
namespace {

constexpr size_t kMaxNodes = 16;
constexpr size_t kMaxOperands = 8;

bool lanes(DType t) { return t == DType::f32 || t == DType::bf16 || t == DType::boolean; }

bool is_pointwise(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  if (!scalar_of(g, id)) return false;
  if (!lanes(g.value(n.outputs[0]).tensor().dtype)) return false;
  for (ValueId v : n.inputs)
    if (v != kNoValue && !lanes(g.value(v).tensor().dtype)) return false;
  return true;
}

/// Integers that come from outside.
bool dequantises(const Graph& g, NodeId id) {
  return bind::reads_back(g, id) && !g.is_constant(g.node(id).inputs[0]);
}

bool quantises(const Graph& g, NodeId id) {
  return bind::stores(g, id) && lanes(g.value(g.node(id).inputs[0]).tensor().dtype);
}

size_t operand_count(const Graph& g, const std::vector<NodeId>& nodes) {
  std::vector<ValueId> seen;
  for (NodeId id : nodes)
    for (ValueId v : g.node(id).inputs) {
      if (v == kNoValue || g.is_constant(v)) continue;
      if (std::ranges::find(nodes, g.value(v).producer) != nodes.end()) continue;
      if (std::ranges::find(seen, v) == seen.end()) seen.push_back(v);
    }
  return seen.size();
}

}  // namespace

int fuse_pointwise(Graph& graph) {
  const Readers readers(graph);
  const std::vector<NodeId> order = graph.order();
  std::map<NodeId, size_t> position;
  for (size_t i = 0; i < order.size(); ++i) position[order[i]] = i;
  // From the back: each node that joins no reader starts a region and absorbs its producers.
  std::map<NodeId, bool> taken;
  int regions = 0;
  for (size_t i = order.size(); i-- > 0;) {
    const NodeId root = order[i];
    if (taken[root] || (!is_pointwise(graph, root) && !quantises(graph, root))) continue;
    const Type& shape = graph.value(graph.node(root).outputs[0]).type;
    std::vector<NodeId> nodes = {root};
    for (size_t next = 0; next < nodes.size() && nodes.size() < kMaxNodes; ++next) {
      if (dequantises(graph, nodes[next])) continue;
      for (ValueId v : graph.node(nodes[next]).inputs) {
        if (v == kNoValue || nodes.size() >= kMaxNodes) continue;
        const NodeId producer = graph.value(v).producer;
        if (producer == kNoNode || readers.only(v) != nodes[next] || taken[producer]) continue;
        if (!is_pointwise(graph, producer) && !dequantises(graph, producer)) continue;
        if (graph.value(v).tensor().dims != shape.tensor().dims) continue;
        nodes.push_back(producer);
        if (operand_count(graph, nodes) > kMaxOperands) nodes.pop_back();
      }
    }
    for (NodeId n : nodes) taken[n] = true;
    if (nodes.size() < 2 || operand_count(graph, nodes) == 0) continue;
    std::ranges::sort(nodes, {}, [&](NodeId n) { return position[n]; });
    const ValueId result = graph.node(root).outputs[0];
    make_region(graph, nodes, std::span(&result, 1));
    ++regions;
  }
  return regions;
}

}  // namespace espalier::passes

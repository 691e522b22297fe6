// An optimiser's step takes along the reading of its moments from 8-bit floats and their writing,
// so that they are in 32 bits for a few elements at a time only.
#include <algorithm>
#include <vector>

#include "bind/optimiser_step.h"
#include "passes/fuse_region.h"

namespace espalier::passes {
namespace {

/// The nodes of the region around a step, in order, or none.
std::vector<NodeId> region_of(const Graph& g, const Readers& readers, NodeId step,
                              std::vector<ValueId>& results) {
  std::vector<NodeId> nodes;
  const Node& n = g.node(step);
  for (ValueId v : n.inputs) {
    const NodeId from = v == kNoValue ? kNoNode : g.value(v).producer;
    if (from != kNoNode && bind::reads_float8(g, from) && readers.only(v) == step)
      nodes.push_back(from);
  }
  if (nodes.empty()) return {};
  nodes.push_back(step);
  for (ValueId v : n.outputs) {
    const NodeId to = v == kNoValue ? kNoNode : readers.only(v);
    if (to == kNoNode || !bind::writes_float8(g, to)) {
      results.push_back(v);
      continue;
    }
    nodes.push_back(to);
    results.insert(results.end(), g.node(to).outputs.begin(), g.node(to).outputs.end());
  }
  return nodes;
}

}  // namespace

int fuse_stored_moments(Graph& graph) {
  const Readers readers(graph);
  const std::vector<NodeId> order = graph.order();
  std::vector<bool> taken(graph.node_count(), false);
  int regions = 0;
  for (NodeId id : order) {
    if (taken[size_t(id)] || !bind::is_range_step(graph, id) || !tensors_only(graph, id)) continue;
    std::vector<ValueId> results;
    const std::vector<NodeId> nodes = region_of(graph, readers, id, results);
    if (nodes.empty() || std::ranges::find(results, kNoValue) != results.end()) continue;
    for (NodeId n : nodes) taken[size_t(n)] = true;
    make_region(graph, nodes, results);
    ++regions;
  }
  return regions;
}

}  // namespace espalier::passes

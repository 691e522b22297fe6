#include "deploy/c_order.h"

#include <algorithm>

#include "runtime/order.h"

namespace espalier {
namespace {

int64_t bytes_of(const Graph& g, const std::vector<ValueId>& values) {
  int64_t sum = 0;
  for (ValueId v : values)
    if (v != kNoValue && !g.is_constant(v) && g.value(v).type.is_static())
      sum += g.value(v).tensor().numel() * int64_t(size_of(g.value(v).tensor().dtype));
  return sum;
}

/// Whether a node makes less than it reads of what others make.
bool shrinks(const Graph& g, NodeId id) {
  std::vector<ValueId> made;
  for (ValueId v : g.node(id).inputs)
    if (v != kNoValue && g.value(v).producer != kNoNode) made.push_back(v);
  return bytes_of(g, g.node(id).outputs) < bytes_of(g, made);
}

/// Whether a node makes more than it reads: integers become numbers, a number becomes many.
bool grows(const Graph& g, NodeId id) {
  return bytes_of(g, g.node(id).outputs) > bytes_of(g, g.node(id).inputs);
}

bool reads_of(const Graph& g, NodeId reader, NodeId made) {
  return std::ranges::any_of(g.node(reader).inputs, [&](ValueId v) {
    return v != kNoValue && g.value(v).producer == made;
  });
}

/// Nodes that grow move to right before the first that reads them: what they read is smaller.
void postpone(const Graph& g, std::vector<NodeId>& order) {
  for (auto at = order.end(); at != order.begin();) {
    --at;
    if (!grows(g, *at)) continue;
    const auto reader =
        std::find_if(at + 1, order.end(), [&](NodeId id) { return reads_of(g, id, *at); });
    if (reader != order.end()) std::rotate(at, at + 1, reader);
  }
}

}  // namespace

std::vector<NodeId> c_order(const Graph& graph) {
  if (graph.states().empty()) return graph.order();
  std::vector<Work> works;
  std::vector<int> maker(graph.value_count(), -1);
  std::vector<std::vector<int>> readers(graph.value_count());
  for (NodeId id : graph.order()) {
    const Node& n = graph.node(id);
    for (ValueId v : n.inputs)
      if (v != kNoValue) readers[size_t(v)].push_back(int(works.size()));
    for (ValueId v : n.outputs)
      if (v != kNoValue) maker[size_t(v)] = int(works.size());
    works.push_back({n.inputs, n.outputs, shrinks(graph, id)});
  }
  std::vector<bool> wanted(graph.value_count(), false);
  for (ValueId v : graph.outputs()) wanted[size_t(v)] = true;
  // Readers of what a state was come before its writer, and so do those of nodes that will be
  // postponed up to them.
  std::vector<std::pair<int, int>> before;
  const auto read_before = [&](ValueId v, int by, const auto& again) -> void {
    for (int reader : readers[size_t(v)]) {
      if (reader == by) continue;
      before.emplace_back(reader, by);
      const NodeId id = graph.order()[size_t(reader)];
      if (grows(graph, id))
        for (ValueId made : graph.node(id).outputs)
          if (made != kNoValue) again(made, by, again);
    }
  };
  for (const StatePair& s : graph.states())
    if (const int by = maker[size_t(s.output)]; by >= 0) read_before(s.input, by, read_before);
  std::vector<int> order = update_early(works, wanted, before);
  // Where somebody needs both the old and the new state, the new one is copied at the end.
  if (order.empty()) order = update_early(works, wanted, {});
  std::vector<NodeId> nodes;
  for (int i : order) nodes.push_back(graph.order()[size_t(i)]);
  postpone(graph, nodes);
  return nodes;
}

}  // namespace espalier

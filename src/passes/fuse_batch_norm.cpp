// Batch normalisation over a batch takes along the residual added to its result and the ReLU
// behind, so that one walk over the elements writes what three would.
#include <algorithm>

#include "ir/room.h"
#include "passes/fuse_region.h"

namespace espalier::passes {
namespace {

bool normalises_batch(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  return n.room->full_name() == "BatchNormalization" && tensors_only(g, id) &&
         std::ranges::find(n.outputs, kNoValue) == n.outputs.end() &&
         std::get<int64_t>(n.room->print(n.attrs, true).at("training_mode")) != 0;
}

bool is(const Graph& g, NodeId id, ScalarCode code) {
  if (id == kNoNode) return false;
  const auto scalar = scalar_of(g, id);
  return scalar && scalar->code == code;
}

/// An addition, in f32, of something else of the same shape.
bool adds_residual(const Graph& g, NodeId id, ValueId to) {
  if (!is(g, id, ScalarCode::kAdd)) return false;
  const auto& in = g.node(id).inputs;
  const ValueId other = in[0] == to ? in[1] : in[0];
  const TensorType &x = g.value(to).tensor(), &y = g.value(other).tensor();
  return other != to && !g.is_constant(other) && x.dtype == DType::f32 && y.dtype == x.dtype &&
         y.dims == x.dims;
}

}  // namespace

int fuse_batch_norm(Graph& graph) {
  const Readers readers(graph);
  const std::vector<NodeId> order = graph.order();
  std::vector<bool> taken(graph.node_count(), false);
  int regions = 0;
  for (NodeId id : order) {
    if (taken[size_t(id)] || !normalises_batch(graph, id)) continue;
    const Values made = graph.node(id).outputs;
    std::vector<NodeId> nodes = {id};
    const auto reader = [&](ValueId v) {
      const NodeId only = readers.only(v);
      return only == kNoNode || taken[size_t(only)] ? kNoNode : only;
    };
    NodeId next = reader(made[0]);
    if (next != kNoNode && adds_residual(graph, next, made[0])) {
      nodes.push_back(next);
      next = reader(graph.node(next).outputs[0]);
    }
    if (!is(graph, next, ScalarCode::kRelu)) continue;
    nodes.push_back(next);
    for (NodeId n : nodes) taken[size_t(n)] = true;
    std::vector<ValueId> results = {graph.node(next).outputs[0]};
    for (size_t i = 1; i < made.size(); ++i)
      if (readers.count(made[i]) > 0) results.push_back(made[i]);
    make_region(graph, nodes, results);
    ++regions;
  }
  return regions;
}

}  // namespace espalier::passes

// Training batch normalisation takes along the bounds that follow it (ReLU, ReLU6), and its
// gradient takes along theirs, which lets pass what lay between them: neither the normalised nor
// the masked numbers go through memory.
#include <algorithm>
#include <array>
#include <utility>

#include "ir/room.h"
#include "passes/fuse_region.h"

namespace espalier::passes {
namespace {

bool lanes(const Graph& g, ValueId v) {
  const DType t = g.value(v).tensor().dtype;
  return t == DType::f32 || t == DType::bf16;
}

bool bounds(const std::optional<ScalarOp>& op) {
  return op && (op->code == ScalarCode::kRelu || op->code == ScalarCode::kClip);
}

bool by_batch(const Graph& g, NodeId id) {
  if (id == kNoNode) return false;
  const Node& n = g.node(id);
  return n.room->full_name() == "BatchNormalization" && tensors_only(g, id) &&
         lanes(g, n.inputs[0]) &&
         std::get<int64_t>(n.room->print(n.attrs, true).at("training_mode")) != 0;
}

/// The normalisation by the batch whose first result `v` is, which `reader` alone reads.
NodeId norm_of(const Graph& g, const Readers& readers, ValueId v, NodeId reader) {
  const NodeId norm = g.value(v).producer;
  return by_batch(g, norm) && g.node(norm).outputs[0] == v && readers.only(v) == reader ? norm
                                                                                        : kNoNode;
}

/// The sum of a normalised result and of something else that is as large: its normalisation.
NodeId norm_with_residual(const Graph& g, const Readers& readers, NodeId id) {
  const auto op = id == kNoNode ? std::nullopt : scalar_of(g, id);
  if (!op || op->code != ScalarCode::kAdd) return kNoNode;
  const Values& in = g.node(id).inputs;
  for (size_t i : {0, 1}) {
    const NodeId norm = norm_of(g, readers, in[i], id);
    const TensorType &x = g.value(in[i]).tensor(), &other = g.value(in[1 - i]).tensor();
    if (norm != kNoNode && in[0] != in[1] && !g.is_constant(in[1 - i]) && other.dims == x.dims &&
        other.dtype == x.dtype)
      return norm;
  }
  return kNoNode;
}

/// A normalisation by the batch with the residual and the bounds that end with `id`, in their
/// order; empty where there is none.
std::vector<NodeId> bounded_norm(const Graph& g, const Readers& readers, NodeId id) {
  if (!bounds(scalar_of(g, id))) {
    const NodeId norm = norm_with_residual(g, readers, id);
    if (norm == kNoNode) return {};
    // Bounds behind take the sum along.
    const NodeId next = readers.only(g.node(id).outputs[0]);
    if (next != kNoNode && bounds(scalar_of(g, next))) return {};
    return {norm, id};
  }
  const ValueId within = g.node(id).inputs[0];
  if (const NodeId norm = norm_of(g, readers, within, id); norm != kNoNode) return {norm, id};
  const NodeId sum = readers.only(within) == id ? g.value(within).producer : kNoNode;
  const NodeId norm = norm_with_residual(g, readers, sum);
  return norm == kNoNode ? std::vector<NodeId>{} : std::vector<NodeId>{norm, sum, id};
}

bool is_number(const Graph& g, ValueId v) {
  return g.is_constant(v) && g.value(v).constant->size() == 1;
}

/// where(y > bound, dy, 0) or where(y < bound, dy, 0), y as large as dy: its condition, or kNoNode.
NodeId condition_of(const Graph& g, const Readers& readers, NodeId id) {
  const auto op = scalar_of(g, id);
  if (!op || op->code != ScalarCode::kWhere) return kNoNode;
  const Node& n = g.node(id);
  const NodeId condition = g.value(n.inputs[0]).producer;
  if (condition == kNoNode || readers.only(n.inputs[0]) != id) return kNoNode;
  if (!is_number(g, n.inputs[2]) || g.value(n.inputs[2]).constant->at(0) != 0) return kNoNode;
  const auto compared = scalar_of(g, condition);
  if (!compared || (compared->code != ScalarCode::kGreater && compared->code != ScalarCode::kLess))
    return kNoNode;
  const Values& operands = g.node(condition).inputs;
  const TensorType &y = g.value(operands[0]).tensor(), &dy = g.value(n.inputs[1]).tensor();
  return is_number(g, operands[1]) && y.dims == dy.dims && y.dtype == dy.dtype ? condition
                                                                               : kNoNode;
}

/// What masks the gradient that `norm` reads, the last first; all of it compares the same numbers.
std::vector<NodeId> masks_of(const Graph& g, const Readers& readers, NodeId norm) {
  std::vector<NodeId> found;
  ValueId dy = g.node(norm).inputs[1];
  NodeId reader = norm;
  std::array<bool, 2> seen = {};  // greater, less
  while (readers.only(dy) == reader && g.value(dy).producer != kNoNode) {
    const NodeId where = g.value(dy).producer, condition = condition_of(g, readers, where);
    if (condition == kNoNode ||
        g.value(dy).tensor().dims != g.value(g.node(norm).inputs[0]).tensor().dims)
      break;
    if (!found.empty() && g.node(found[1]).inputs[0] != g.node(condition).inputs[0]) break;
    bool& before = seen[scalar_of(g, condition)->code == ScalarCode::kGreater ? 0 : 1];
    if (std::exchange(before, true)) break;
    found.insert(found.end(), {where, condition});
    reader = where;
    dy = g.node(where).inputs[1];
  }
  return found;
}

}  // namespace

int fuse_bounded_norm(Graph& graph) {
  const Readers readers(graph);
  int regions = 0;
  const auto join = [&](std::vector<NodeId> nodes, NodeId last) {
    std::vector<ValueId> results = {graph.node(last).outputs[0]};
    for (NodeId id : nodes)
      for (ValueId v : graph.node(id).outputs)
        if (v != kNoValue && v != results[0] && readers.count(v) > 0 &&
            std::ranges::find(nodes, readers.only(v)) == nodes.end())
          results.push_back(v);
    make_region(graph, nodes, results);
    ++regions;
  };
  for (NodeId id : std::vector<NodeId>(graph.order())) {
    if (std::vector<NodeId> nodes = bounded_norm(graph, readers, id); !nodes.empty()) {
      join(std::move(nodes), id);
    } else if (graph.node(id).room->full_name() == "espalier.BatchNormGrad" &&
               tensors_only(graph, id) && lanes(graph, graph.node(id).inputs[0])) {
      std::vector<NodeId> nodes = masks_of(graph, readers, id);
      if (nodes.empty()) continue;
      std::ranges::reverse(nodes);  // each condition, then what it chooses
      nodes.push_back(id);
      join(std::move(nodes), id);
    }
  }
  return regions;
}

}  // namespace espalier::passes

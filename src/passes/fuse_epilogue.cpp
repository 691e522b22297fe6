// A contraction takes along what follows it: a bias that it has no operand for, a residual added to
// its result, then one activation. The kernel applies them while the result is still in registers.
#include <algorithm>
#include "ir/builder.h"
#include "ir/room.h"

#include "passes/fuse_region.h"

namespace espalier::passes {
namespace {

/// Operators with a weight operand, as their integer form tells.
bool is_contraction(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  if (!n.room->quantize.answered() || n.outputs.size() != 1 || !tensors_only(g, id)) return false;
  return (*n.room->quantize)(n.attrs, types_in(g, id)).weight >= 0;
}

bool same_type(const Graph& g, ValueId a, ValueId b) {
  const TensorType &x = g.value(a).tensor(), &y = g.value(b).tensor();
  if (x.dtype != y.dtype || x.rank() != y.rank()) return false;
  for (size_t i = 0; i < x.dims.size(); ++i)
    if (!(x.dims[i] == y.dims[i])) return false;
  return true;
}

/// A constant with one number for each column of a product that takes no bias itself.
bool is_bias(const Graph& g, NodeId id, ValueId v) {
  const Node& n = g.node(id);
  const QuantForm form = (*n.room->quantize)(n.attrs, types_in(g, id));
  const Value& value = g.value(v);
  if (form.bias >= 0 || !value.constant || value.constant->rank() != 1) return false;
  const TensorType& y = g.value(n.outputs[0]).tensor();
  return y.rank() > 1 && value.constant->dtype() == y.dtype &&
         y.dims.back().is(value.constant->size());
}

}  // namespace

int fuse_epilogue(Graph& graph) {
  const Readers readers(graph);
  const std::vector<NodeId> order = graph.order();
  std::vector<bool> taken(graph.node_count(), false);
  int regions = 0;
  for (NodeId id : order) {
    if (taken[size_t(id)] || !is_contraction(graph, id)) continue;
    // Of constants alone: folding left it, as its result is larger; lowering computes it.
    const auto fixed = [&](ValueId v) { return v == kNoValue || graph.is_constant(v); };
    if (std::ranges::all_of(graph.node(id).inputs, fixed)) continue;
    std::vector<NodeId> nodes = {id};
    ValueId result = graph.node(id).outputs[0];
    bool residual = false, activation = false;
    while (!activation) {
      const NodeId next = readers.only(result);
      if (next == kNoNode || taken[size_t(next)]) break;
      const auto scalar = scalar_of(graph, next);
      const ValueId after = graph.node(next).outputs.at(0);
      if (!scalar || !same_type(graph, after, result)) break;
      if (operands_of(scalar->code) == 1) {
        activation = true;
      } else if (scalar->code == ScalarCode::kAdd && !residual) {
        const auto& in = graph.node(next).inputs;
        const ValueId other = in[0] == result ? in[1] : in[0];
        const bool bias = nodes.size() == 1 && is_bias(graph, id, other);
        if (!bias &&
            (other == result || graph.is_constant(other) || !same_type(graph, other, result)))
          break;
        residual = !bias;
      } else {
        break;
      }
      nodes.push_back(next);
      taken[size_t(next)] = true;
      result = after;
    }
    if (nodes.size() < 2) continue;
    make_region(graph, nodes, std::span(&result, 1));
    ++regions;
  }
  return regions;
}

}  // namespace espalier::passes

// A product of rows [..., K] with a matrix is a Gemm of all rows at once; a transposition of the
// matrix that nothing else is between, and a bias after it, are the Gemm's own. Its gradients are
// then single products too, not sums over a batch of them.
#include "bind/strided_view.h"
#include "ir/builder.h"
#include "ir/integer_coding.h"
#include "ir/patch.h"
#include "ir/room.h"
#include "passes/fuse_region.h"

namespace espalier::passes {
namespace {

bool is(const Graph& g, NodeId id, const char* name) {
  return id != kNoNode && g.node(id).room->full_name() == name;
}

/// The other operand of an addition after `product` that has one number a column.
ValueId bias_of(const Graph& g, NodeId add, ValueId product, const TensorType& y) {
  if (!is(g, add, "Add")) return kNoValue;
  const auto& in = g.node(add).inputs;
  const ValueId other = in[0] == product ? in[1] : in[0];
  const Type& type = g.value(other).type;
  if (other == product || !type.is_tensor()) return kNoValue;
  const TensorType& t = type.tensor();
  const bool fits = t.rank() == 1 && t.dtype == y.dtype && t.dims[0] == y.dims.back();
  return fits ? other : kNoValue;
}

}  // namespace

int fold_rows(Graph& graph) {
  std::vector<std::pair<ValueId, std::string>> names;
  const Readers readers(graph);
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    if (!is(graph, id, "MatMul") || !tensors_only(graph, id)) continue;
    const Node n = graph.node(id);
    const TensorType x = graph.value(n.inputs[0]).tensor();
    const TensorType y = graph.value(n.outputs[0]).tensor();
    if (x.rank() < 2 || !x.is_static() || graph.value(n.inputs[1]).tensor().rank() != 2 ||
        !is_float(x.dtype))
      continue;
    // fuse_integer takes products with weights on integers as they are.
    if (decoded_constant(graph, n.inputs[1]) != kNoValue) continue;
    const NodeId maker = graph.value(n.inputs[1]).producer;
    const bool transposed = bind::swaps_last_axes(graph, maker);
    const ValueId matrix = transposed ? graph.node(maker).inputs[0] : n.inputs[1];
    ValueId result = n.outputs[0];
    const NodeId next = readers.only(result);
    const ValueId bias = bias_of(graph, next, result, y);
    if (bias != kNoValue) result = graph.node(next).outputs[0];
    Patch patch(graph);
    Builder& b = patch.builder();
    const bool flat = x.rank() == 2;
    const ValueId rows = flat ? n.inputs[0] : b.reshape(n.inputs[0], {-1, x.dims.back().value()});
    Values operands = {rows, matrix};
    if (bias != kNoValue) operands.push_back(bias);
    const ValueId product = b.one("Gemm", operands, {{"transB", int64_t{transposed}}});
    patch.shunt(result, flat ? product : b.reshape(product, y.shape()));
    patch.apply();
    names.emplace_back(product, graph.value(n.outputs[0]).name);
  }
  if (names.empty()) return 0;
  graph.erase_dead();
  // The product is known by the name it had.
  for (const auto& [product, name] : names)
    if (graph.find(name) == kNoValue) graph.rename(product, name);
  return int(names.size());
}

}  // namespace espalier::passes

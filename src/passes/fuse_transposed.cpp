// A product of two computed operands takes along exchanges of their last two axes, as its kernel
// reads rows or columns: gradients of products ask for columns of what the product has read.
#include "bind/attention_nodes.h"
#include "bind/strided_view.h"
#include "passes/fuse_region.h"

namespace espalier::passes {

int fuse_transposed(Graph& graph) {
  const Readers readers(graph);
  const std::vector<NodeId> order = graph.order();
  int regions = 0;
  for (NodeId id : order) {
    if (!bind::is_product(graph, id) || !tensors_only(graph, id)) continue;
    std::vector<NodeId> nodes;
    for (ValueId v : graph.node(id).inputs) {
      const NodeId maker = graph.value(v).producer;
      if (readers.only(v) == id && bind::swaps_last_axes(graph, maker) &&
          !graph.is_constant(graph.node(maker).inputs[0]))
        nodes.push_back(maker);
    }
    if (nodes.empty()) continue;
    nodes.push_back(id);
    const ValueId result = graph.node(id).outputs[0];
    make_region(graph, nodes, std::span(&result, 1), graph.node(id).name);
    ++regions;
  }
  return regions;
}

}  // namespace espalier::passes

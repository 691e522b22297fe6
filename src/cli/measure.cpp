#include "cli/measure.h"

#include "ir/count.h"
#include "ir/derive.h"
#include "ir/room.h"
#include "passes/fuse_region.h"

namespace espalier::cli {
namespace {

/// Adds the constants that bodies of a node hold themselves.
void add_bodies(const Node& n, NodeFacts& node, ModelFacts& facts) {
  if (!n.room->control) return;
  for (const GraphRef& body : n.room->control->bodies(n.attrs)) {
    node.params += parameter_count(*body);
    facts.weight_bytes += constant_bytes(*body);
    for (NodeId id : body->order()) add_bodies(body->node(id), node, facts);
  }
}

}  // namespace

ModelFacts facts_of(const Graph& g) {
  ModelFacts facts;
  std::vector<bool> counted(g.value_count(), false);
  for (NodeId id : g.order()) {
    const Node& n = g.node(id);
    NodeFacts node;
    node.name = n.name;
    if (node.name.empty() && n.outputs[0] != kNoValue) node.name = g.value(n.outputs[0]).name;
    node.op = n.room->full_name();
    if (n.outputs[0] != kNoValue) node.output = to_string(g.value(n.outputs[0]).type);
    const Cost cost = cost_of(g, id);
    node.macs = cost.macs;
    node.bytes = cost.bytes;
    for (ValueId v : n.inputs) {
      if (v == kNoValue || counted[size_t(v)]) continue;
      counted[size_t(v)] = true;
      node.params += learned_elements(g.value(v));
    }
    add_bodies(n, node, facts);
    facts.macs += node.macs;
    facts.params += node.params;
    facts.nodes.push_back(std::move(node));
  }
  facts.weight_bytes = constant_bytes(g);
  return facts;
}

namespace {

/// The float type in which a stored float constant is computed with: that of the one Cast that
/// reads it, where there is one.
DType computed_type(const Graph& g, const std::vector<NodeId>& readers, const Tensor& t) {
  if (!is_float(t.dtype()) || readers.size() != 1) return t.dtype();
  const Node& n = g.node(readers[0]);
  const ValueId result = n.outputs[0];
  const bool widened = n.inputs.size() == 1 && result != kNoValue &&
                       g.value(result).type.is_tensor() && is_float(g.value(result).tensor().dtype);
  return widened ? g.value(result).tensor().dtype : t.dtype();
}

}  // namespace

std::string precision_of(const Graph& graph) {
  Graph g = graph;
  passes::expand_regions(g);
  const auto readers = g.users();
  int64_t elements[size_t(DType::string) + 1] = {};
  for (ValueId v : g.constants()) {
    const Tensor& t = *g.value(v).constant;
    if (t.rank() > 1) elements[size_t(computed_type(g, readers[size_t(v)], t))] += t.size();
  }
  DType most = DType::f32;
  for (DType t : {DType::f64, DType::bf16, DType::f16, DType::i8, DType::u8})
    if (elements[size_t(t)] > elements[size_t(most)]) most = t;
  return is_int(most) ? "int8" : std::string(name_of(most));
}

}  // namespace espalier::cli

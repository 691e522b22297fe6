#include "compress/integer_coding.h"

#include <algorithm>

namespace espalier {
namespace {

bool floats(const Graph& g, ValueId v) {
  return v != kNoValue && g.value(v).type.is_tensor() && is_float(g.value(v).tensor().dtype);
}

bool bytes(const Graph& g, ValueId v) {
  if (v == kNoValue || !g.value(v).type.is_tensor()) return false;
  const DType t = g.value(v).tensor().dtype;
  return t == DType::i8 || t == DType::u8;
}

}  // namespace

// A conversion between reals and integers comes with real numbers beside it, given (a scale) or
// found (a dynamic one); a plain change of type does not.
bool codes_integers(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  if (n.inputs.empty() || n.outputs.empty()) return false;
  const bool encodes = floats(g, n.inputs[0]) && bytes(g, n.outputs[0]);
  const bool decodes = bytes(g, n.inputs[0]) && floats(g, n.outputs[0]);
  const auto real = [&](ValueId v) { return floats(g, v); };
  return (encodes || decodes) && (std::any_of(n.inputs.begin() + 1, n.inputs.end(), real) ||
                                  std::any_of(n.outputs.begin() + 1, n.outputs.end(), real));
}

NodeId integer_coding(const Graph& graph) {
  const auto& order = graph.order();
  const auto it = std::ranges::find_if(order, [&](NodeId id) { return codes_integers(graph, id); });
  return it == order.end() ? kNoNode : *it;
}

}  // namespace espalier

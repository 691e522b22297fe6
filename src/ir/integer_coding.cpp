#include "ir/integer_coding.h"

#include <algorithm>

#include "ir/builder.h"
#include "ir/room.h"

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

/// The type with 1 for every open extent.
Type closed(const Type& type) {
  if (!type.is_tensor()) return type;
  TensorType t = type.tensor();
  for (Dim& d : t.dims)
    if (!d.known()) d = Dim(1);
  return t;
}

/// Whether an operator of two operands multiplies and accumulates, whatever the extents.
bool multiplies(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  if (!n.room->cost.answered() || n.inputs.size() != 2) return false;
  const Type operands[] = {closed(g.value(n.inputs[0]).type), closed(g.value(n.inputs[1]).type)};
  Types results;
  for (const Type& t : types_out(g, id)) results.push_back(closed(t));
  const TypesIn in(describe(g, id), {{&operands[0], nullptr}, {&operands[1], nullptr}});
  return (*n.room->cost)(n.attrs, in, results).macs > 0;
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

bool is_coded(const Graph& g, ValueId v) {
  return v != kNoValue && g.value(v).producer != kNoNode && codes_integers(g, g.value(v).producer);
}

NodeId integer_coding(const Graph& graph) {
  const auto& order = graph.order();
  const auto it = std::ranges::find_if(order, [&](NodeId id) { return codes_integers(graph, id); });
  return it == order.end() ? kNoNode : *it;
}

ValueId decoded_constant(const Graph& g, ValueId v) {
  if (!is_coded(g, v)) return kNoValue;
  const ValueId integers = g.node(g.value(v).producer).inputs[0];
  return g.is_constant(integers) ? integers : kNoValue;
}

std::optional<QuantForm> contraction_form(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  if (!n.room->quantize.answered()) return std::nullopt;
  auto operands = types_in(g, id).operands();
  for (size_t i = 0; i < operands.size(); ++i)
    if (const ValueId v = decoded_constant(g, n.inputs[i]); v != kNoValue)
      operands[i].constant = &*g.value(v).constant;
  QuantForm form = (*n.room->quantize)(n.attrs, TypesIn(describe(g, id), std::move(operands)));
  const bool of_activations = form.activations.size() == 2 && multiplies(g, id);
  if (form.weight < 0 && !of_activations) return std::nullopt;
  return form;
}

}  // namespace espalier

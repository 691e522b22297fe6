#include "bind/attention_nodes.h"

#include <algorithm>

#include "bind/attribute_reader.h"
#include "bind/contraction.h"
#include "ir/builder.h"

namespace espalier::bind {
namespace {

/// Nodes between softmax and product.
constexpr int kMostSteps = 12;

bool leads_to_product(const Graph& g, ValueId v, int steps) {
  const NodeId id = producer(g, v);
  if (id == kNoNode || steps == 0) return false;
  if (is_product(g, id)) return true;
  if (is_named(g, id, "DequantizeLinear") || is_named(g, id, "QuantizeLinear"))
    return leads_to_product(g, g.node(id).inputs[0], steps - 1);
  if (!is_named(g, id, "Add") && !is_named(g, id, "Mul") && !is_named(g, id, "Div") &&
      !is_named(g, id, "Where"))
    return false;
  return std::ranges::any_of(g.node(id).inputs,
                             [&](ValueId in) { return leads_to_product(g, in, steps - 1); });
}

}  // namespace

bool is_named(const Graph& g, NodeId id, const char* name) {
  return id != kNoNode && g.node(id).room->op.domain.empty() && g.node(id).room->op.name == name;
}

NodeId producer(const Graph& g, ValueId v) { return v == kNoValue ? kNoNode : g.value(v).producer; }

std::optional<double> number(const Graph& g, ValueId v) {
  if (!g.is_constant(v)) return std::nullopt;
  const Tensor& t = *g.value(v).constant;
  if (t.size() != 1 || !is_float(t.dtype())) return std::nullopt;
  return t.at(0);
}

bool is_product(const Graph& g, NodeId id) { return is_named(g, id, "MatMul"); }

std::optional<kernels::Quantised> stored_as(const Graph& g, NodeId id) {
  if (id == kNoNode) return std::nullopt;
  const auto q = quantization_of(g, id);
  if (!q || q->scales.size() != 1 || (q->type != DType::u8 && q->type != DType::i8))
    return std::nullopt;
  return kernels::Quantised{q->type, q->scales[0], q->zero_points[0]};
}

bool is_last_softmax(const Graph& g, NodeId id) {
  if (!is_named(g, id, "Softmax")) return false;
  const Node& n = g.node(id);
  const Type& type = g.value(n.inputs[0]).type;
  if (!type.is_tensor()) return false;
  const int64_t axis = AttributeReader(*n.room, n.attrs).integer("axis", -1);
  return axis == -1 || axis == type.tensor().rank() - 1;
}

ValueId scaled_operand(const Graph& g, NodeId id) {
  if (!is_named(g, id, "Mul") && !is_named(g, id, "Div")) return kNoValue;
  const auto& in = g.node(id).inputs;
  if (number(g, in[1])) return in[0];
  return is_named(g, id, "Mul") && number(g, in[0]) ? in[1] : kNoValue;
}

ValueId scores_operand(const Graph& g, NodeId id) {
  if (const ValueId v = scaled_operand(g, id); v != kNoValue)
    return leads_to_product(g, v, kMostSteps) ? v : kNoValue;
  const auto& in = g.node(id).inputs;
  if (is_named(g, id, "Add")) {
    const bool left = leads_to_product(g, in[0], kMostSteps);
    if (left == leads_to_product(g, in[1], kMostSteps)) return kNoValue;
    return left ? in[0] : in[1];
  }
  if (!is_named(g, id, "Where")) return kNoValue;
  if (number(g, in[2])) return leads_to_product(g, in[1], kMostSteps) ? in[1] : kNoValue;
  return number(g, in[1]) && leads_to_product(g, in[2], kMostSteps) ? in[2] : kNoValue;
}

bool stores(const Graph& g, NodeId id) {
  return is_named(g, id, "QuantizeLinear") && stored_as(g, id).has_value();
}

bool reads_back(const Graph& g, NodeId id) {
  return is_named(g, id, "DequantizeLinear") && stored_as(g, id).has_value() &&
         g.value(g.node(id).outputs[0]).tensor().dtype == DType::f32;
}

ValueId rounded_operand(const Graph& g, NodeId id) {
  if (id == kNoNode || !reads_back(g, id)) return kNoValue;
  const NodeId before = producer(g, g.node(id).inputs[0]);
  return before != kNoNode && stores(g, before) && stored_as(g, before) == stored_as(g, id)
             ? g.node(before).inputs[0]
             : kNoValue;
}

}  // namespace espalier::bind

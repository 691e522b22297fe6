#include "fuzz/spoil.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <optional>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/derive.h"
#include "ir/room.h"
#include "passes/fuse_region.h"

namespace espalier::fuzz::spoil {
namespace {

using Body = std::function<int(Graph&)>;

/// The body of a region, or null for other nodes.
GraphRef region_of(const Node& n) {
  if (n.room->op.domain.empty() || n.room->control || !n.room->expand.answered()) return nullptr;
  for (const auto& [name, value] : n.room->print(n.attrs, true))
    if (const auto* body = std::get_if<GraphRef>(&value)) return *body;
  return nullptr;
}

void set(Graph& g, NodeId id, const std::string& name, std::optional<AttributeValue> value) {
  Node& n = g.mutable_node(id);
  AttributeMap attributes = n.room->print(n.attrs, true);
  if (value)
    attributes[name] = std::move(*value);
  else
    attributes.erase(name);
  n.attrs = n.room->parse(attributes, n.room->full_name());
}

/// Changes the bodies of regions; how often that struck.
int in_regions(Graph& g, const Body& change) {
  int struck = 0;
  for (NodeId id : g.order()) {
    const GraphRef body = region_of(g.node(id));
    if (!body) continue;
    Graph copy = body->compacted();
    const int times = change(copy);
    if (times == 0) continue;
    struck += times;
    for (const auto& [name, value] : g.node(id).room->print(g.node(id).attrs, true))
      if (std::holds_alternative<GraphRef>(value)) {
        set(g, id, name, std::make_shared<const Graph>(std::move(copy)));
        break;
      }
  }
  return struck;
}

std::optional<AttributeValue> attribute(const Node& n, const std::string& name) {
  const AttributeMap all = n.room->print(n.attrs, true);
  const auto it = all.find(name);
  if (it == all.end()) return std::nullopt;
  return it->second;
}

std::optional<int64_t> integer(const Node& n, const std::string& name) {
  const auto value = attribute(n, name);
  const auto* i = value ? std::get_if<int64_t>(&*value) : nullptr;
  return i ? std::optional(*i) : std::nullopt;
}

bool is_code(const Graph& g, NodeId id, ScalarCode code) {
  const auto f = passes::scalar_of(g, id);
  return f && f->code == code;
}

bool contracts(const Graph& g, NodeId id) {
  try {
    return cost_of(g, id).macs > 0;
  } catch (const std::exception&) {
    return false;
  }
}

bool holds_contraction(const Graph& body) {
  return std::ranges::any_of(body.order(), [&](NodeId id) { return contracts(body, id); });
}

const Type& result_type(const Graph& g, NodeId id) { return g.value(g.node(id).outputs[0]).type; }

bool is_like_result(const Graph& g, NodeId id, ValueId v) {
  return v != kNoValue && g.value(v).type == result_type(g, id);
}

/// The node's only result is this operand of it, in every reader.
int pass_through(Graph& g, NodeId id, ValueId operand) {
  g.replace_uses(g.node(id).outputs[0], operand);
  g.erase_node(id);
  return 1;
}

/// The last node of a region goes, where an operand can stand for its result.
int lose_last(Graph& body) {
  if (body.order().size() < 2) return 0;
  const NodeId id = body.order().back();
  const Node n = body.node(id);
  if (n.outputs.size() != 1) return 0;
  for (ValueId v : n.inputs)
    if (is_like_result(body, id, v) && body.value(v).producer != kNoNode)
      return pass_through(body, id, v);
  return 0;
}

/// A sum of two computed or given values of one type becomes the one computed last.
int lose_sum(Graph& body) {
  for (NodeId id : body.order()) {
    if (!is_code(body, id, ScalarCode::kAdd)) continue;
    const Node& n = body.node(id);
    const ValueId a = n.inputs[0], b = n.inputs[1];
    if (a == b || body.is_constant(a) || body.is_constant(b)) continue;
    if (!is_like_result(body, id, a) || !is_like_result(body, id, b)) continue;
    const bool second = body.value(b).producer > body.value(a).producer;
    return pass_through(body, id, second ? b : a);
  }
  return 0;
}

int swap_difference(Graph& body) {
  int struck = 0;
  for (NodeId id : body.order()) {
    if (!is_code(body, id, ScalarCode::kSub)) continue;
    auto& inputs = body.mutable_node(id).inputs;
    if (inputs[0] == inputs[1]) continue;
    std::swap(inputs[0], inputs[1]);
    ++struck;
  }
  return struck;
}

/// Calls `change` for each node; how often that struck. Nodes may go.
int each_node(Graph& g, const std::function<int(NodeId)>& change) {
  int struck = 0;
  const std::vector<NodeId> order = g.order();
  for (NodeId id : order) struck += change(id);
  return struck;
}

/// An operand or a result of a node, not made by it, that stands in a graph's outputs would leave
/// two outputs of one value; such nodes are left alone.
bool is_output(const Graph& g, ValueId v) { return std::ranges::count(g.outputs(), v) > 0; }

bool narrow(const Type& t) {
  const auto dtype = element_type_of(t);
  return dtype == DType::bf16 || dtype == DType::f16;
}

}  // namespace

int residual(Graph& g, int) {
  return in_regions(g, [](Graph& body) { return holds_contraction(body) ? lose_sum(body) : 0; });
}

int activation(Graph& g, int) {
  return in_regions(g, [](Graph& body) {
    if (!holds_contraction(body)) return 0;
    const auto last = passes::scalar_of(body, body.order().back());
    return last && operands_of(last->code) == 1 ? lose_last(body) : 0;
  });
}

int difference(Graph& g, int) { return in_regions(g, swap_difference); }

int long_chain(Graph& g, int) {
  return in_regions(g, [](Graph& body) {
    if (body.order().size() >= 4 && !holds_contraction(body))
      throw InternalError("a planted invariant: chains have fewer than four nodes");
    return 0;
  });
}

int transposition(Graph& g, int) {
  return each_node(g, [&](NodeId id) {
    const Node& n = g.node(id);
    if (!attribute(n, "perm") || n.inputs.size() != 1 || is_output(g, n.outputs[0])) return 0;
    const TensorType& t = g.value(n.inputs[0]).tensor();
    const bool moves = std::ranges::count_if(t.dims, [](const Dim& d) { return !d.is(1); }) > 1;
    return moves && is_like_result(g, id, n.inputs[0]) ? pass_through(g, id, n.inputs[0]) : 0;
  });
}

int kept_axes(Graph& g, int) {
  return each_node(g, [&](NodeId id) {
    if (integer(g.node(id), "keepdims") != 1) return 0;
    set(g, id, "keepdims", int64_t{0});
    return 1;
  });
}

int last_element(Graph& g, int changes) {
  if (changes == 0 || g.constants().empty()) return 0;
  Value& youngest = g.mutable_value(g.constants().back());
  Tensor t = youngest.constant->clone();
  if (!is_float(t.dtype()) || t.size() < 2 || t.at(t.size() - 1) == 0) return 0;
  const size_t width = size_of(t.dtype());
  std::memset(static_cast<char*>(t.mutable_raw()) + t.bytes() - width, 0, width);
  youngest.constant = std::move(t);
  return 1;
}

int axis(Graph& g, int) {
  return each_node(g, [&](NodeId id) {
    const Node& n = g.node(id);
    const auto along = integer(n, "axis");
    if (!along || n.inputs.size() != 1 || !is_like_result(g, id, n.inputs[0])) return 0;
    const int64_t rank = g.value(n.inputs[0]).tensor().rank();
    if (rank < 2 || *along == -1 || *along == rank - 1) return 0;
    set(g, id, "axis", int64_t{-1});
    return 1;
  });
}

int joined_order(Graph& g, int) {
  return each_node(g, [&](NodeId id) {
    Node& n = g.mutable_node(id);
    if (n.room->arity.max_inputs != kVariadic || !integer(n, "axis") || n.inputs.size() < 2)
      return 0;
    ValueId &a = n.inputs[n.inputs.size() - 2], &b = n.inputs.back();
    if (a == b || !(g.value(a).type == g.value(b).type)) return 0;
    std::swap(a, b);
    return 1;
  });
}

int pads(Graph& g, int) {
  return each_node(g, [&](NodeId id) {
    const auto value = attribute(g.node(id), "pads");
    const auto* list = value ? std::get_if<std::vector<int64_t>>(&*value) : nullptr;
    if (!list || list->size() % 2) return 0;
    std::vector<int64_t> swapped = *list;
    std::rotate(swapped.begin(), swapped.begin() + std::ptrdiff_t(swapped.size() / 2),
                swapped.end());
    if (swapped == *list) return 0;
    set(g, id, "pads", std::move(swapped));
    return 1;
  });
}

int narrow_sum(Graph& g, int) {
  return each_node(g, [&](NodeId id) {
    const Node& n = g.node(id);
    if (!is_code(g, id, ScalarCode::kAdd) || !narrow(result_type(g, id)) ||
        is_output(g, n.outputs[0]))
      return 0;
    const ValueId a = n.inputs[0], b = n.inputs[1];
    if (is_like_result(g, id, a) == is_like_result(g, id, b)) return 0;
    return pass_through(g, id, is_like_result(g, id, a) ? a : b);
  });
}

int choice(Graph& g, int) {
  return each_node(g, [&](NodeId id) {
    if (!is_code(g, id, ScalarCode::kWhere)) return 0;
    auto& inputs = g.mutable_node(id).inputs;
    if (inputs[1] == inputs[2]) return 0;
    std::swap(inputs[1], inputs[2]);
    return 1;
  });
}

int bounds(Graph& g, int) {
  return each_node(g, [&](NodeId id) {
    const Node& n = g.node(id);
    if (!is_code(g, id, ScalarCode::kClip) || is_output(g, n.outputs[0])) return 0;
    return pass_through(g, id, n.inputs[0]);
  });
}

int alpha(Graph& g, int) {
  return each_node(g, [&](NodeId id) {
    const auto value = attribute(g.node(id), "alpha");
    if (!value || !g.node(id).room->print(g.node(id).attrs, false).contains("alpha")) return 0;
    set(g, id, "alpha", std::nullopt);
    return 1;
  });
}

int counted_padding(Graph& g, int) {
  return each_node(g, [&](NodeId id) {
    const auto counted = integer(g.node(id), "count_include_pad");
    if (!counted) return 0;
    set(g, id, "count_include_pad", int64_t{*counted == 0});
    return 1;
  });
}

int refolded(Graph& g, int) { return in_regions(g, lose_last); }

int sum_in_chain(Graph& g, int) {
  return in_regions(g, [](Graph& body) { return holds_contraction(body) ? 0 : lose_sum(body); });
}

int fused_again(Graph& g, int changes) {
  if (changes > 0) return 0;
  return in_regions(g, [](Graph& body) { return holds_contraction(body) ? 0 : lose_last(body); });
}

}  // namespace espalier::fuzz::spoil

#include "passes/fuse_region.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "base/error.h"
#include "ir/derive.h"
#include "ir/patch.h"
#include "ir/registry.h"

namespace espalier::passes {
namespace {

constexpr std::string_view kRegion = "espalier.Fused";

}  // namespace

Readers::Readers(const Graph& graph)
    : count_(graph.value_count(), 0), one_(graph.value_count(), kNoNode) {
  for (NodeId n : graph.order())
    for (ValueId v : graph.node(n).inputs) {
      if (v == kNoValue) continue;
      ++count_[size_t(v)];
      one_[size_t(v)] = n;
    }
  for (ValueId v : graph.outputs()) count_[size_t(v)] += 2;
  for (const StatePair& s : graph.states()) count_[size_t(s.output)] += 2;
}

NodeId Readers::only(ValueId v) const {
  return size_t(v) < count_.size() && count_[size_t(v)] == 1 ? one_[size_t(v)] : kNoNode;
}

bool tensors_only(const Graph& g, NodeId id) {
  const auto is_tensor = [&](ValueId v) { return v == kNoValue || g.value(v).type.is_tensor(); };
  const Node& n = g.node(id);
  return std::ranges::all_of(n.inputs, is_tensor) && std::ranges::all_of(n.outputs, is_tensor);
}

std::optional<ScalarOp> scalar_of(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  if (!n.room->pointwise.answered() || n.outputs.size() != 1 || !tensors_only(g, id))
    return std::nullopt;
  return (*n.room->pointwise)(n.attrs, types_in(g, id));
}

NodeId make_region(Graph& graph, std::span<const NodeId> nodes, std::span<const ValueId> results,
                   std::string label) {
  Graph body;
  body.name = "region";
  std::vector<std::pair<ValueId, ValueId>> map;  // outer value, body value
  const auto mapped = [&](ValueId v) {
    const auto it = std::ranges::find(map, v, &std::pair<ValueId, ValueId>::first);
    return it == map.end() ? kNoValue : it->second;
  };
  Values operands;
  for (NodeId id : nodes) {
    const Node& n = graph.node(id);
    Values inputs;
    for (ValueId v : n.inputs) {
      if (v == kNoValue) {
        inputs.push_back(kNoValue);
        continue;
      }
      ValueId inner = mapped(v);
      if (inner == kNoValue) {
        const Value& value = graph.value(v);
        if (value.constant) {
          inner = body.add_constant(value.name, *value.constant, value.role);
        } else {
          inner = body.add_input(value.name, value.type);
          operands.push_back(v);
        }
        map.emplace_back(v, inner);
      }
      inputs.push_back(inner);
    }
    std::vector<Type> types;
    std::vector<std::string> names;
    for (ValueId v : n.outputs) {
      types.push_back(graph.value(v).type);
      names.push_back(graph.value(v).name);
    }
    const NodeId inner = body.add_node(*n.room, n.attrs, inputs, types, n.name, names);
    for (size_t i = 0; i < n.outputs.size(); ++i)
      map.emplace_back(n.outputs[i], body.node(inner).outputs[i]);
  }
  for (ValueId v : results) body.add_output(mapped(v));
  ESP_CHECK(!operands.empty(), "a region of constants only should have been folded");

  // The contraction's name rather than its activation's.
  for (NodeId id : nodes)
    if (label.empty()) label = graph.node(id).name;
  Patch patch(graph);
  const Room& room = room_named(kRegion);
  const Attributes attrs =
      room.parse({{"body", std::make_shared<const Graph>(std::move(body))}}, "region");
  const Values fused = patch.builder().op(room, attrs, operands, label);
  for (size_t i = 0; i < results.size(); ++i) patch.shunt(results[i], fused[i]);
  const NodeId id = graph.value(fused[0]).producer;
  patch.apply();
  for (size_t i = nodes.size(); i-- > 0;) graph.erase_node(nodes[i]);
  return id;
}

namespace {

bool same_constant(const Value& a, const Value& b) {
  return a.role == b.role && a.type == b.type && a.constant->dtype() != DType::string &&
         (a.constant->raw() == b.constant->raw() ||
          std::memcmp(a.constant->raw(), b.constant->raw(), a.constant->bytes()) == 0);
}

class Expander {
 public:
  explicit Expander(Graph& graph) : g_(graph) {}

  int run() {
    int expanded = 0;
    for (bool again = true; again;) {  // a body may hold regions
      again = false;
      const std::vector<NodeId> order = g_.order();
      for (NodeId id : order) {
        if (g_.node(id).room->full_name() != kRegion) continue;
        expand(id);
        again = true;
        ++expanded;
      }
    }
    if (expanded > 0) g_.erase_dead();
    return expanded;
  }

 private:
  void expand(NodeId id) {
    const Node n = g_.node(id);
    const AttributeMap attributes = n.room->print(n.attrs, true);
    const GraphRef& body = std::get<GraphRef>(attributes.at("body"));
    Patch patch(g_);
    auto copy = ValueId(g_.value_count());  // of the body's first constant; the others follow
    const Values results = splice(patch.builder(), *body, n.inputs);
    for (ValueId original : body->constants()) join(copy++, body->value(original).name);
    for (size_t i = 0; i < n.outputs.size(); ++i)
      if (n.outputs[i] != kNoValue) patch.shunt(n.outputs[i], results.at(i));
    patch.apply();
    g_.erase_node(id);
  }

  /// The constant of a body is the one of that name outside, where they are equal.
  void join(ValueId copy, const std::string& name) {
    const auto [it, first] = named_.try_emplace(name, g_.find(name));
    const ValueId known = it->second;
    if (known != copy && g_.is_constant(known) && same_constant(g_.value(known), g_.value(copy)))
      g_.replace_uses(copy, known);
  }

  Graph& g_;
  std::map<std::string, ValueId> named_;
};

}  // namespace

GraphRef region_body(const Graph& graph, NodeId id) {
  const Node& n = graph.node(id);
  if (n.room->full_name() != kRegion) return nullptr;
  const AttributeMap attributes = n.room->print(n.attrs, true);
  return std::get<GraphRef>(attributes.at("body"));
}

int expand_regions(Graph& graph) { return Expander(graph).run(); }

}  // namespace espalier::passes

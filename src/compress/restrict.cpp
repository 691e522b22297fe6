#include "compress/restrict.h"

#include <cstring>
#include <map>

#include "base/error.h"
#include "compress/drops.h"
#include "ir/builder.h"
#include "ir/interpret.h"
#include "ir/room.h"
#include "ir/verify.h"

namespace espalier {
namespace {

void check_keep(const AxisClasses& classes, const Keep& keep) {
  ESP_CHECK(keep.groups.size() == classes.classes.size(), "keep masks of another network");
  for (size_t c = 0; c < classes.classes.size(); ++c) {
    ESP_CHECK(keep.groups[c].size() == classes.classes[c].groups.size(),
              "keep masks of another network");
    ESP_CHECK(keep.kept(c) > 0, "a class must keep at least one group");
  }
}

/// The drops of the twin's values found by name in `graph`.
Drops by_name(const Graph& graph, const AxisClasses& classes, const Drops& drops) {
  Drops mapped;
  for (const auto& [v, axes] : drops)
    if (const ValueId own = graph.find(classes.graph.value(v).name); own != kNoValue)
      mapped[own] = axes;
  return mapped;
}

bool touched(const Node& n, const Drops& drops) {
  for (ValueId v : n.inputs)
    if (drops.contains(v)) return true;
  for (ValueId v : n.outputs)
    if (drops.contains(v)) return true;
  return false;
}

/// Operands, cut, as a room's facets see them.
struct CutOperands {
  std::vector<Type> types;
  std::vector<Tensor> constants;
  std::vector<TypesIn::Operand> seen;

  CutOperands(const Graph& g, const Node& n, const Drops& drops)
      : types(n.inputs.size()), constants(n.inputs.size()), seen(n.inputs.size()) {
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      const ValueId v = n.inputs[i];
      if (v == kNoValue) continue;
      const Value& value = g.value(v);
      const auto it = drops.find(v);
      types[i] = it == drops.end() ? value.type : Type(cut(value.tensor(), it->second));
      seen[i].type = &types[i];
      if (!value.constant) continue;
      constants[i] = it == drops.end() ? *value.constant : cut(*value.constant, it->second);
      seen[i].constant = &constants[i];
    }
  }
};

/// Fixes what besides operand types must change: attributes and shape operands.
struct Fix {
  NodeId node;
  Resized resized;
};

std::optional<Fix> fix_of(const Graph& g, NodeId id, const Drops& drops) {
  const Node& n = g.node(id);
  if (!n.room->resized || !touched(n, drops)) return std::nullopt;
  const CutOperands after(g, n, drops);
  Types wanted = types_out(g, id);
  for (size_t i = 0; i < n.outputs.size(); ++i)
    if (const auto it = drops.find(n.outputs[i]); it != drops.end())
      wanted[i] = cut(wanted[i].tensor(), it->second);
  return Fix{
      id, n.room->resized(n.attrs, types_in(g, id), TypesIn(describe(g, id), after.seen), wanted)};
}

void apply(Graph& g, const Fix& fix) {
  g.mutable_node(fix.node).attrs = fix.resized.attrs;
  for (const auto& [slot, value] : fix.resized.constants) {
    const std::string name = g.value(g.node(fix.node).inputs[size_t(slot)]).name;
    const ValueId fresh = g.add_constant(g.fresh_name(name + "_cut"), value);
    g.mutable_node(fix.node).inputs[size_t(slot)] = fresh;
  }
}

void set_constant(Graph& g, ValueId v, Tensor value) {
  Value& slot = g.mutable_value(v);
  slot.type = TensorType(value.dtype(), value.shape());
  slot.constant = std::move(value);
}

/// Constants take the place of what they replaced, so that a twice cut network reads like a once
/// cut one.
void reclaim_names(Graph& g) {
  for (ValueId v : g.constants()) {
    std::string name = g.value(v).name;
    while (name.ends_with("_cut")) name.resize(name.size() - 4);
    if (name != g.value(v).name && g.find(name) == kNoValue) g.rename(v, name);
  }
}

/// What the cut network's values must look like: the twin's types, cut.
void check_types(const Graph& g, const AxisClasses& classes, const Drops& twin_drops) {
  for (const auto& [v, axes] : twin_drops) {
    const Value& before = classes.graph.value(v);
    const ValueId own = g.find(before.name);
    if (own == kNoValue) continue;
    const Value& now = g.value(own);
    const TensorType wanted = cut(before.tensor(), axes);
    bool fits = now.tensor().rank() == wanted.rank();
    for (const auto& [axis, flags] : axes)
      fits = fits && (!now.tensor().dims[size_t(axis)].known() ||
                      now.tensor().dims[size_t(axis)] == wanted.dims[size_t(axis)]);
    if (!fits)
      throw unsupported(
          "value '" + now.name + "'",
          "is " + to_string(now.type) + " after the cut, " + to_string(wanted) + " is needed",
          "fold the network's constants before cutting it");
  }
}

}  // namespace

Tensor take(const Tensor& t, int64_t axis, const std::vector<int64_t>& positions) {
  Shape shape = t.shape();
  const int64_t extent = shape[size_t(axis)];
  shape[size_t(axis)] = int64_t(positions.size());
  Tensor out(t.dtype(), shape);
  const int64_t outer = product(t.shape(), 0, size_t(axis));
  const size_t bytes =
      size_t(product(t.shape(), size_t(axis) + 1, t.shape().size())) * size_of(t.dtype());
  const auto* from = static_cast<const char*>(t.raw());
  auto* to = static_cast<char*>(out.mutable_raw());
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t p : positions) {
      std::memcpy(to, from + size_t(o * extent + p) * bytes, bytes);
      to += bytes;
    }
  return out;
}

void zero_slices(Tensor& t, int64_t axis, const std::vector<int64_t>& positions) {
  const int64_t extent = t.shape()[size_t(axis)];
  const int64_t outer = product(t.shape(), 0, size_t(axis));
  const size_t bytes =
      size_t(product(t.shape(), size_t(axis) + 1, t.shape().size())) * size_of(t.dtype());
  auto* data = static_cast<char*>(t.mutable_raw());
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t p : positions) std::memset(data + size_t(o * extent + p) * bytes, 0, bytes);
}

Tensor restricted_tensor(const AxisClasses& classes, const Keep& keep, const std::string& name,
                         const Tensor& tensor) {
  check_keep(classes, keep);
  const Drops drops = dropped(classes, keep);
  const ValueId v = classes.graph.find(name);
  const auto it = drops.find(v);
  if (v == kNoValue || it == drops.end() ||
      tensor.shape() != classes.graph.value(v).tensor().shape())
    return tensor;
  return cut(tensor, it->second);
}

Graph restrict(const Graph& graph, const AxisClasses& classes, const Keep& keep) {
  check_keep(classes, keep);
  const Drops twin_drops = dropped(classes, keep);
  Graph g = graph.compacted();
  const Drops drops = by_name(g, classes, twin_drops);
  std::vector<Fix> fixes;
  for (NodeId id : g.order())
    if (auto fix = fix_of(g, id, drops)) fixes.push_back(std::move(*fix));
  for (const auto& [v, axes] : drops)
    if (g.is_constant(v)) set_constant(g, v, cut(*g.value(v).constant, axes));
  for (const Fix& fix : fixes) apply(g, fix);
  g.erase_dead();
  reclaim_names(g);
  reinfer(g);
  check_types(g, classes, twin_drops);
  g = g.compacted();
  verify(g, "restrict");
  return g;
}

Graph permute(const Graph& graph, const AxisClasses& classes, size_t cls,
              const std::vector<int64_t>& order) {
  const AxisClass& c = classes.classes.at(cls);
  ESP_CHECK(order.size() == c.groups.size(), "an order of another class");
  Graph g = graph.compacted();
  for (size_t s = 0; s < c.groups[0].slices.size(); ++s) {
    const AxisSlice& first = c.groups[0].slices[s];
    const Value& value = classes.graph.value(first.value);
    if (!value.constant) continue;
    const ValueId own = g.find(value.name);
    if (own == kNoValue || !g.is_constant(own))
      throw unsupported("constant '" + value.name + "'", "is computed in the network",
                        "fold the network's constants before permuting it");
    std::vector<int64_t> source(size_t(value.tensor().dims[size_t(first.axis)].value()));
    for (size_t i = 0; i < source.size(); ++i) source[i] = int64_t(i);
    for (size_t i = 0; i < order.size(); ++i)
      for (size_t p = 0; p < first.positions.size(); ++p)
        source[size_t(c.groups[i].slices[s].positions[p])] =
            c.groups[size_t(order[i])].slices[s].positions[p];
    set_constant(g, own, take(*g.value(own).constant, first.axis, source));
  }
  return g;
}

}  // namespace espalier

#include "cost/region.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "ir/derive.h"
#include "ir/room.h"

namespace espalier {
namespace {

const TensorType* tensor_of(const Graph& g, ValueId v) {
  return v != kNoValue && g.value(v).type.is_static() ? &g.value(v).tensor() : nullptr;
}

double bytes_of(const TensorType& t) { return double(t.numel()) * double(size_of(t.dtype)); }

/// Operators and constants of a node, or of all nodes of its expansion.
struct Contents {
  std::string kind, operators;
  const TensorType* weight = nullptr;  ///< of a constant
  double weight_bytes = 0;
  double most = -1;  ///< work of the operator called `kind`
};

/// Adds a node; constants it shares with one before it are counted once.
void add_node(const Graph& g, NodeId id, std::set<ValueId>& counted, Contents& c) {
  const Node& n = g.node(id);
  const std::string name = n.room->full_name();
  c.operators += (c.operators.empty() ? "" : " ") + name;
  const Cost cost = cost_of(g, id);
  // Contractions come before whatever surrounds them.
  const double work = cost.macs * 1e6 + cost.flops;
  if (work > c.most) {
    c.most = work;
    c.kind = name;
  }
  for (ValueId v : n.inputs) {
    const TensorType* t = tensor_of(g, v);
    if (!t || !g.is_constant(v) || !counted.insert(v).second) continue;
    c.weight_bytes += bytes_of(*t);
    if (t->rank() >= 2 && (!c.weight || t->numel() > c.weight->numel())) c.weight = t;
  }
}

}  // namespace

RegionFacts region_facts(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  Contents contents;
  std::set<ValueId> counted;
  Graph expansion;  // keeps what `contents` points at
  if (n.room->cost.derived()) {
    expansion = expansion_of(g, id);
    for (NodeId inner : expansion.order()) add_node(expansion, inner, counted, contents);
  } else {
    add_node(g, id, counted, contents);
  }
  const Cost cost = cost_of(g, id);
  RegionFacts f;
  f.kind = contents.kind;
  f.operators = contents.operators;
  f.macs = cost.macs;
  f.flops = cost.flops;
  f.weight_bytes = contents.weight_bytes;
  std::vector<const TensorType*> operands;
  std::set<ValueId> read;
  for (ValueId v : n.inputs) {
    const TensorType* t = tensor_of(g, v);
    if (!t || g.is_constant(v) || !read.insert(v).second) continue;
    f.in_bytes += bytes_of(*t);
    operands.push_back(t);
  }
  std::stable_sort(operands.begin(), operands.end(),
                   [](const auto* a, const auto* b) { return a->numel() > b->numel(); });
  for (size_t i = 0; i < n.outputs.size(); ++i) {
    const TensorType* t = tensor_of(g, n.outputs[i]);
    if (!t) continue;
    f.out_bytes += bytes_of(*t);
    if (i == 0) {
      f.y = t->shape();
      f.y_type = t->dtype;
    }
  }
  if (!operands.empty()) {
    f.x = operands[0]->shape();
    f.x_type = operands[0]->dtype;
  }
  const TensorType* w = contents.weight       ? contents.weight
                        : operands.size() > 1 ? operands[1]
                                              : nullptr;
  f.w_type = w ? w->dtype : f.x_type;
  if (w) f.w = w->shape();
  return f;
}

std::string signature_of(const RegionFacts& f) {
  std::string s = f.operators;
  const auto tensor = [&](const char* name, DType type, const Shape& shape) {
    s += std::string(" ") + name + "=" + std::string(name_of(type)) + to_string(shape);
  };
  tensor("x", f.x_type, f.x);
  tensor("w", f.w_type, f.w);
  tensor("y", f.y_type, f.y);
  for (const double number : {f.macs, f.flops, f.in_bytes, f.out_bytes, f.weight_bytes})
    s += " " + std::to_string(std::llround(number));
  return s;
}

bool computed_beforehand(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  return !n.inputs.empty() && n.room->foldable() &&
         std::all_of(n.inputs.begin(), n.inputs.end(),
                     [&](ValueId v) { return v == kNoValue || g.is_constant(v); });
}

}  // namespace espalier

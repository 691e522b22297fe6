#include "fuzz/mutate.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/derive.h"
#include "ir/interpret.h"
#include "passes/passes.h"

namespace espalier::fuzz {
namespace {

constexpr size_t kMostNodes = 24;
constexpr size_t kMostPasses = 16;
constexpr int kTries = 6;

NodeId any_node(const Graph& g, Dice& dice) { return dice.pick(g.order()); }

/// Values of that very type that stand before `before` (any, for kNoNode) and are no constants.
Values of_type(const Graph& g, const Type& type, NodeId before) {
  Values found;
  const auto take = [&](ValueId v) {
    if (v != kNoValue && g.value(v).type == type) found.push_back(v);
  };
  for (ValueId v : g.inputs()) take(v);
  for (NodeId id : g.order()) {
    if (id == before) break;
    for (ValueId v : g.node(id).outputs) take(v);
  }
  return found;
}

bool change_attribute(Case& c, Dice& dice) {
  const NodeId id = any_node(c.graph, dice);
  Node& n = c.graph.mutable_node(id);
  AttributeMap attributes = n.room->print(n.attrs, true);
  if (attributes.empty()) return false;
  auto it = attributes.begin();
  std::advance(it, int64_t(dice.below(attributes.size())));
  const auto step = [&](int64_t now) { return now + (dice.chance(0.5) ? 1 : -1); };
  if (auto* one = std::get_if<int64_t>(&it->second)) {
    *one = step(*one);
  } else if (auto* list = std::get_if<std::vector<int64_t>>(&it->second); list && !list->empty()) {
    int64_t& item = dice.pick(*list);
    const int64_t next = item >= 1 ? std::max<int64_t>(1, step(item)) : step(item);
    if (dice.chance(0.3))
      std::swap(item, dice.pick(*list));
    else
      item = next;
  } else if (auto* real = std::get_if<float>(&it->second)) {
    *real = dice.chance(0.5) ? *real * 0.5f : *real + 0.25f;
  } else {
    return false;
  }
  n.attrs = n.room->parse(attributes, n.room->full_name());
  reinfer(c.graph);
  return true;
}

bool change_extent(Case& c, Dice& dice) {
  std::vector<int64_t> extents;
  for (const Shape& s : shapes_of(c)) extents.insert(extents.end(), s.begin(), s.end());
  if (extents.empty()) return false;
  const int64_t from = dice.pick(extents);
  return set_extent(c, from, dice.chance(0.7) ? from + 1 : dice.between(1, 9));
}

bool change_width(Case& c, Dice& dice) {
  constexpr std::array kWidths = {DType::f32, DType::bf16, DType::f16, DType::f64};
  return retype(c, kWidths[dice.below(kWidths.size())]);
}

/// The results of a node are read from elsewhere, so that it goes.
bool remove_node(Case& c, Dice& dice) {
  if (c.graph.order().size() < 2) return false;
  const NodeId id = any_node(c.graph, dice);
  const Values results = c.graph.node(id).outputs;
  for (ValueId v : results) {
    if (!c.graph.value(v).type.is_static()) return false;
    const Values others = of_type(c.graph, c.graph.value(v).type, id);
    replace_result(c, v, others.empty() ? kNoValue : dice.pick(others));
  }
  c.graph.erase_node(id);
  return true;
}

/// Another operator on the same operands, where it gives the same type.
bool replace_node(Case& c, Generator& generator, Dice& dice) {
  const NodeId id = any_node(c.graph, dice);
  const Node n = c.graph.node(id);
  if (n.outputs.size() != 1 || std::ranges::count(n.inputs, kNoValue) > 0) return false;
  const Type type = c.graph.value(n.outputs[0]).type;
  for (int i = 0; i < 40; ++i) {
    const Form& f = generator.any_form(dice);
    if (f.operands.size() != n.inputs.size() || f.room == n.room) continue;
    try {
      Graph g = c.graph;
      const Values now = Builder(g).op(*f.room, use_of(f, f.sample).attrs, n.inputs);
      if (now.size() != 1 || !(g.value(now[0]).type == type)) continue;
      g.replace_uses(n.outputs[0], now[0]);
      g.erase_node(id);
      g.sort();
      c.graph = std::move(g);
      return true;
    } catch (const UserError&) {
    }
  }
  return false;
}

bool change_operand(Case& c, Dice& dice) {
  const NodeId id = any_node(c.graph, dice);
  Node& n = c.graph.mutable_node(id);
  if (n.inputs.empty()) return false;
  ValueId& slot = dice.pick(n.inputs);
  if (slot == kNoValue) return false;
  const Values others = of_type(c.graph, c.graph.value(slot).type, id);
  if (others.empty()) return false;
  slot = dice.pick(others);
  reinfer(c.graph);
  return true;
}

bool freeze_any(Case& c, Dice& dice) {
  if (c.graph.inputs().size() < 2) return false;
  return freeze_input(c, dice.pick(c.graph.inputs()),
                      dice.chance(0.7) ? Role::kParameter : Role::kNone);
}

/// The other graph behind this one: its inputs read values of their type, where there are any.
bool splice_other(Case& c, const Case& other, Dice& dice) {
  Graph& g = c.graph;
  if (g.order().size() + other.graph.order().size() > kMostNodes) return false;
  for (const auto& [name, extent] : other.extents)
    if (const auto [at, fresh] = c.extents.emplace(name, extent); !fresh && at->second != extent)
      return false;
  Values operands;
  for (ValueId v : other.graph.inputs()) {
    const Value& input = other.graph.value(v);
    const Values fitting = of_type(g, input.type, kNoNode);
    if (!fitting.empty() && dice.chance(0.7)) {
      operands.push_back(dice.pick(fitting));
      continue;
    }
    const std::string name = g.fresh_name("x");
    if (const auto range = other.ranges.find(input.name); range != other.ranges.end())
      c.ranges[name] = range->second;
    operands.push_back(g.add_input(name, input.type));
  }
  Builder builder(g);
  splice(builder, other.graph, operands);
  return true;
}

}  // namespace

void replace_result(Case& c, ValueId result, ValueId to) {
  Graph& g = c.graph;
  if (to == kNoValue) to = g.add_input(g.fresh_name("x"), g.value(result).type);
  g.replace_uses(result, to);
}

bool set_extent(Case& c, int64_t from, int64_t to) {
  if (from == to) return false;
  bool changed = false;
  for (auto& [name, extent] : c.extents)
    if (extent == from) extent = to, changed = true;
  for (ValueId v : c.graph.inputs()) {
    TensorType t = c.graph.value(v).tensor();
    for (Dim& d : t.dims)
      if (d.is(from)) d = Dim(to), changed = true;
    c.graph.mutable_value(v).type = t;
  }
  if (changed) reinfer(c.graph);
  return changed;
}

bool freeze_input(Case& c, ValueId input, Role role) {
  Graph& g = c.graph;
  const std::vector<Tensor> values = inputs_of(c);
  const auto at = std::ranges::find(g.inputs(), input) - g.inputs().begin();
  const std::string name = g.value(input).name;
  const Tensor value = values.at(size_t(at));
  const ValueId constant =
      g.add_constant(g.fresh_name("w"), value, is_float(value.dtype()) ? role : Role::kNone);
  g.replace_uses(input, constant);
  g.erase_input(input);
  c.ranges.erase(name);
  reinfer(g);
  return true;
}

bool mutate_graph(Case& c, const Case& other, Generator& generator, const GrowOptions& options,
                  Dice& dice, Growth& growth) {
  for (int i = 0; i < kTries; ++i) {
    Case next = c;
    bool changed = false;
    try {
      switch (dice.below(10)) {
        case 0: changed = change_attribute(next, dice); break;
        case 1: changed = change_extent(next, dice); break;
        case 2: changed = change_width(next, dice); break;
        case 3: changed = remove_node(next, dice); break;
        case 4: changed = replace_node(next, generator, dice); break;
        case 5: changed = change_operand(next, dice); break;
        case 6: changed = freeze_any(next, dice); break;
        case 7: changed = splice_other(next, other, dice); break;
        default:
          changed = next.graph.order().size() < kMostNodes &&
                    generator.insert(next, options, dice, growth);
      }
      if (changed) settle(next);
    } catch (const UserError&) {
      continue;
    } catch (const std::exception& e) {
      growth.broken.emplace_back(e.what());
      continue;
    }
    if (!changed || !is_fit(next, growth.broken)) continue;
    c = std::move(next);
    return true;
  }
  return false;
}

void mutate_passes(std::vector<std::string>& passes, Dice& dice) {
  const auto insert = [&](const std::string& name) {
    if (passes.size() < kMostPasses)
      passes.insert(passes.begin() + std::ptrdiff_t(dice.below(passes.size() + 1)), name);
  };
  switch (passes.empty() ? 0 : dice.below(4)) {
    case 0: insert(std::string(dice.pick(all_passes()).name)); break;
    case 1:
      if (passes.size() > 1)
        passes.erase(passes.begin() + std::ptrdiff_t(dice.below(passes.size())));
      break;
    case 2: std::swap(dice.pick(passes), dice.pick(passes)); break;
    default: insert(std::string(dice.pick(passes)));
  }
}

}  // namespace espalier::fuzz

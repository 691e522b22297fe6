// Parameters as they are read: a Reshape, a Transpose, a widening Cast of a parameter that nothing
// else reads is done to the parameter, once, and what it gives is the parameter. Training and cuts
// then see the tensor the computation sees.
//
// A parameter with several readers stays one tensor.
#include <algorithm>

#include "ir/builder.h"
#include "ir/reference.h"
#include "ir/room.h"

namespace espalier::passes {
namespace {

bool float_constant(const Graph& g, ValueId v) {
  return g.is_constant(v) && is_float(g.value(v).constant->dtype());
}

/// The one parameter among the operands of a node of constants; kNoValue where there is none, or
/// more than one.
ValueId parameter_of(const Graph& g, const Node& n) {
  ValueId found = kNoValue;
  for (ValueId v : n.inputs) {
    if (v == kNoValue) continue;
    if (!g.is_constant(v)) return kNoValue;
    if (g.value(v).role != Role::kParameter) continue;
    if (found != kNoValue || !float_constant(g, v)) return kNoValue;
    found = v;
  }
  return found;
}

bool read_once(const Graph& g, ValueId v) {
  int64_t reads = std::ranges::count(g.outputs(), v);
  for (NodeId id : g.order()) reads += std::ranges::count(g.node(id).inputs, v);
  return reads == 1;
}

/// Consecutive numbers are told apart in f32 up to here.
constexpr int64_t kMostElements = 1 << 24;

/// The node's result with `value` in place of the parameter.
Tensor result_for(const Graph& g, NodeId id, ValueId parameter, const Tensor& value) {
  const Node& n = g.node(id);
  std::vector<const Tensor*> operands;
  for (ValueId v : n.inputs)
    operands.push_back(v == kNoValue ? nullptr : v == parameter ? &value : &*g.value(v).constant);
  return run_reference(*n.room, n.attrs, operands, describe(g, id)).at(0);
}

/// Numbered elements all arrive: none is dropped, repeated or changed.
bool permutes(const Graph& g, NodeId id, ValueId parameter) {
  Tensor numbers(DType::f32, g.value(parameter).constant->shape());
  for (int64_t i = 0; i < numbers.size(); ++i) numbers.mutable_data<float>()[i] = float(i);
  const Tensor moved = result_for(g, id, parameter, numbers);
  std::vector<bool> seen(size_t(numbers.size()), false);
  for (int64_t i = 0; i < moved.size(); ++i) {
    const double at = moved.at(i);
    if (!(at >= 0 && at < double(seen.size())) || at != double(int64_t(at))) return false;
    seen[size_t(at)] = true;
  }
  return std::ranges::find(seen, false) == seen.end();
}

/// The node moves each element of `parameter` to a place of its own and computes nothing.
bool only_moves(const Graph& g, NodeId id, ValueId parameter) {
  const Node& n = g.node(id);
  if (n.outputs.size() != 1 || n.outputs[0] == kNoValue || !n.room->deterministic ||
      !n.room->reference.answered() || !n.room->cost.answered())
    return false;
  const Type &from = g.value(parameter).type, &to = g.value(n.outputs[0]).type;
  if (!to.is_tensor() || !to.tensor().is_static() || !is_float(to.tensor().dtype)) return false;
  if (to.tensor().numel() != from.tensor().numel() ||
      size_of(to.tensor().dtype) < size_of(from.tensor().dtype))
    return false;
  if (from.tensor().numel() > kMostElements) return false;
  const Cost cost = (*n.room->cost)(n.attrs, types_in(g, id), types_out(g, id));
  return cost.macs == 0 && cost.flops == 0 && permutes(g, id, parameter);
}

}  // namespace

int fold_parameters(Graph& graph) {
  int folded = 0;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    const Node n = graph.node(id);
    const ValueId parameter = parameter_of(graph, n);
    if (parameter == kNoValue || !only_moves(graph, id, parameter) || !read_once(graph, parameter))
      continue;
    if (std::ranges::count(graph.outputs(), n.outputs[0]) > 0) continue;
    Tensor moved = result_for(graph, id, parameter, *graph.value(parameter).constant);
    const std::string name = graph.value(parameter).name;
    const ValueId now =
        graph.add_constant(graph.fresh_name(name + "_moved"), std::move(moved), Role::kParameter);
    graph.replace_uses(n.outputs[0], now);
    graph.erase_node(id);
    graph.erase_value(parameter);
    graph.rename(now, name);
    ++folded;
  }
  if (folded > 0) graph.erase_dead();
  return folded;
}

}  // namespace espalier::passes

#include "train/divergence.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "ir/room.h"
#include "train/step_session.h"

namespace espalier {
namespace {

constexpr const char* kWhere = "training";

bool floats(const Graph& g, ValueId v) {
  return v != kNoValue && g.value(v).type.is_tensor() && is_float(g.value(v).tensor().dtype);
}

/// Results that `v` depends on, its own among them, in the order they are computed.
std::vector<ValueId> results_before(const Graph& g, ValueId v) {
  std::vector<bool> needed(g.value_count(), false);
  needed[size_t(v)] = true;
  const std::vector<NodeId> order = g.order();
  for (auto id = order.rbegin(); id != order.rend(); ++id) {
    const Node& n = g.node(*id);
    const bool wanted = std::any_of(n.outputs.begin(), n.outputs.end(),
                                    [&](ValueId o) { return o != kNoValue && needed[size_t(o)]; });
    if (!wanted) continue;
    for (ValueId i : n.inputs)
      if (i != kNoValue) needed[size_t(i)] = true;
  }
  std::vector<ValueId> results;
  for (NodeId id : order)
    for (ValueId o : g.node(id).outputs)
      if (floats(g, o) && needed[size_t(o)]) results.push_back(o);
  return results;
}

/// "'v_2' of MatMul, behind 'fc1.weight'": names of values may be invented, those of parameters are
/// the network's own. The parameter is the nearest that the value depends on.
std::string place_of(const StepGraph& step, ValueId v) {
  const Graph& g = step.graph;
  const NodeId made_by = g.value(v).producer;
  std::string place = "'" + g.value(v).name + "'";
  if (made_by == kNoNode) return place;
  place += " of " + g.node(made_by).room->op.name;
  std::vector<ValueId> front = {v};
  std::vector<bool> seen(g.value_count(), false);
  for (size_t i = 0; i < front.size(); ++i) {
    const auto parameter = std::find_if(step.parameters.begin(), step.parameters.end(),
                                        [&](const auto& p) { return p.value == front[i]; });
    if (parameter != step.parameters.end()) return place + ", behind '" + parameter->name + "'";
    const NodeId from = g.value(front[i]).producer;
    if (from == kNoNode) continue;
    for (ValueId in : g.node(from).inputs) {
      if (in == kNoValue || seen[size_t(in)]) continue;
      seen[size_t(in)] = true;
      front.push_back(in);
    }
  }
  return place;
}

}  // namespace

UserError divergence(std::string what, std::string hint) {
  return bad_input(kWhere, std::move(what), std::move(hint));
}

bool is_divergence(const UserError& error) { return error.where() == kWhere; }

bool all_finite(const Tensor& t) {
  if (t.dtype() != DType::f32) return true;
  const auto values = t.span<float>();
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

std::string first_not_finite(const StepGraph& step, const std::map<std::string, Tensor>& states,
                             const Batch& batch, double learning_rate, int64_t number) {
  for (const auto& [name, value] : states)
    if (!all_finite(value)) return "'" + name + "'";
  StepGraph watched = step;
  watched.initial = states;
  const std::vector<ValueId> forward = results_before(watched.graph, watched.loss);
  std::vector<ValueId> seen(watched.graph.outputs().begin(), watched.graph.outputs().end());
  const auto watch = [&](ValueId v) {
    if (floats(watched.graph, v) && std::find(seen.begin(), seen.end(), v) == seen.end())
      seen.push_back(v);
  };
  for (ValueId v : forward) watch(v);
  for (const StepParameter& p : watched.parameters) watch(p.gradient);
  watched.graph.set_outputs(seen);
  StepSession session(watched);
  session.run(batch, learning_rate, number);
  const auto bad = [&](ValueId v) {
    return floats(watched.graph, v) &&
           !all_finite(session.output(watched.graph.value(v).name).cast(DType::f32));
  };
  for (ValueId v : forward)
    if (bad(v)) return place_of(watched, v);
  // Gradients reach the last layers first.
  for (auto p = watched.parameters.rbegin(); p != watched.parameters.rend(); ++p)
    if (bad(p->gradient)) return "the gradient of '" + p->name + "'";
  for (const StepParameter& p : watched.parameters)
    if (!all_finite(session.state(p.name))) return "the update of '" + p.name + "'";
  return "";
}

}  // namespace espalier

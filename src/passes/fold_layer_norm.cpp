// Layer normalisation written out, (x - mean) / sqrt(var + epsilon) w + b over the last axis,
// becomes one operator (Ba, Kiros, Hinton, arXiv 1607.06450).
#include <cmath>
#include <optional>

#include "ir/patch.h"
#include "ir/room.h"
#include "passes/fuse_region.h"

namespace espalier::passes {
namespace {

bool computes(const Graph& g, NodeId id, ScalarCode code) {
  if (id == kNoNode) return false;
  const auto op = scalar_of(g, id);
  return op && op->code == code;
}

/// The operand of a mean over the last axis that keeps it.
ValueId averaged(const Graph& g, NodeId id) {
  if (id == kNoNode || g.node(id).room->full_name() != "ReduceMean" || !tensors_only(g, id))
    return kNoValue;
  const Node& n = g.node(id);
  const TensorType &x = g.value(n.inputs[0]).tensor(), &y = g.value(n.outputs[0]).tensor();
  const AttributeMap attributes = n.room->print(n.attrs, true);
  const auto found = attributes.find("axes");
  if (found == attributes.end() || x.rank() != y.rank()) return kNoValue;
  const auto* axes = std::get_if<std::vector<int64_t>>(&found->second);
  const bool last = axes && axes->size() == 1 && (axes->at(0) == -1 || axes->at(0) == x.rank() - 1);
  return last ? n.inputs[0] : kNoValue;
}

/// What is squared.
ValueId squared(const Graph& g, NodeId id) {
  if (id == kNoNode) return kNoValue;
  const auto& in = g.node(id).inputs;
  if (computes(g, id, ScalarCode::kMul)) return in[0] == in[1] ? in[0] : kNoValue;
  if (!computes(g, id, ScalarCode::kPow)) return kNoValue;
  const auto& exponent = g.value(in[1]).constant;
  return exponent && exponent->size() == 1 && exponent->at(0) == 2 ? in[0] : kNoValue;
}

/// The constant of a binary node that has one number for each element of the last axis.
ValueId of_last_axis(const Graph& g, NodeId id, ValueId other) {
  const auto& in = g.node(id).inputs;
  const ValueId v = in[0] == other ? in[1] : in[0];
  const auto& constant = g.value(v).constant;
  const TensorType& y = g.value(g.node(id).outputs[0]).tensor();
  const bool fits = constant && constant->rank() == 1 && constant->dtype() == y.dtype &&
                    y.dims.back().is(constant->size());
  return fits ? v : kNoValue;
}

struct Match {
  ValueId x, weight, bias, result;
  double epsilon;
};

std::optional<Match> match(const Graph& g, const Readers& readers, NodeId root) {
  const NodeId plus = g.value(g.node(root).inputs[0]).producer;
  if (!computes(g, plus, ScalarCode::kAdd)) return std::nullopt;
  const auto& sum = g.node(plus).inputs;
  const bool second = g.is_constant(sum[1]);
  const auto& epsilon = g.value(sum[second ? 1 : 0]).constant;
  if (!epsilon || epsilon->size() != 1) return std::nullopt;
  const NodeId variance = g.value(sum[second ? 0 : 1]).producer;
  const ValueId square = averaged(g, variance);
  if (square == kNoValue) return std::nullopt;
  const ValueId centred = squared(g, g.value(square).producer);
  if (centred == kNoValue) return std::nullopt;
  const NodeId minus = g.value(centred).producer;
  if (!computes(g, minus, ScalarCode::kSub)) return std::nullopt;
  const ValueId x = g.node(minus).inputs[0];
  if (averaged(g, g.value(g.node(minus).inputs[1]).producer) != x) return std::nullopt;

  const NodeId divide = readers.only(g.node(root).outputs[0]);
  if (!computes(g, divide, ScalarCode::kDiv) || g.node(divide).inputs[0] != centred)
    return std::nullopt;
  const ValueId normal = g.node(divide).outputs[0];
  const NodeId times = readers.only(normal);
  if (!computes(g, times, ScalarCode::kMul)) return std::nullopt;
  const ValueId weight = of_last_axis(g, times, normal), scaled = g.node(times).outputs[0];
  const NodeId shift = readers.only(scaled);
  if (weight == kNoValue || !computes(g, shift, ScalarCode::kAdd)) return std::nullopt;
  const ValueId bias = of_last_axis(g, shift, scaled), result = g.node(shift).outputs[0];
  if (bias == kNoValue || g.value(result).type != g.value(x).type) return std::nullopt;
  return Match{x, weight, bias, result, epsilon->at(0)};
}

}  // namespace

int fold_layer_norm(Graph& graph) {
  const Readers readers(graph);
  const std::vector<NodeId> order = graph.order();
  int folded = 0;
  for (NodeId id : order) {
    if (!computes(graph, id, ScalarCode::kSqrt)) continue;
    const auto m = match(graph, readers, id);
    if (!m) continue;
    Patch patch(graph);
    patch.shunt(m->result,
                patch.builder().one("LayerNormalization", {m->x, m->weight, m->bias},
                                    {{"axis", int64_t{-1}}, {"epsilon", float(m->epsilon)}}));
    patch.apply();
    ++folded;
  }
  if (folded > 0) graph.erase_dead();
  return folded;
}

}  // namespace espalier::passes

// GELU written out, x / 2 (1 + erf(x / sqrt 2)) in the orders exporters write it, becomes one
// operator: Hendrycks and Gimpel, arXiv 1606.08415.
#include <cmath>
#include <numbers>

#include "ir/patch.h"
#include "ir/room.h"
#include "passes/fuse_region.h"

namespace espalier::passes {
namespace {

std::optional<ScalarCode> code_of(const Graph& g, NodeId id) {
  if (id == kNoNode) return std::nullopt;
  const auto op = scalar_of(g, id);
  return op ? std::optional(op->code) : std::nullopt;
}

/// Whether v is that number as exporters round it: in single precision some write sqrt 2 with six
/// digits.
bool is_number(const Graph& g, ValueId v, double number) {
  const auto& constant = g.value(v).constant;
  if (!constant || !is_float(constant->dtype()) || constant->size() != 1) return false;
  const double rounding = constant->dtype() == DType::bf16  ? 0x1p-8
                          : constant->dtype() == DType::f16 ? 0x1p-11
                                                            : 1e-5;
  return std::abs(constant->at(0) - number) <= rounding * number;
}

/// The operand that is no constant, where `id` applies `code` to it and that number.
ValueId beside(const Graph& g, NodeId id, ScalarCode code, double number) {
  if (code_of(g, id) != code) return kNoValue;
  const auto& in = g.node(id).inputs;
  if (is_number(g, in[1], number)) return in[0];
  return code != ScalarCode::kDiv && is_number(g, in[0], number) ? in[1] : kNoValue;
}

/// What erf is taken of, times sqrt 2.
ValueId argument(const Graph& g, NodeId erf) {
  const NodeId divided = g.value(g.node(erf).inputs[0]).producer;
  const ValueId x = beside(g, divided, ScalarCode::kDiv, std::numbers::sqrt2);
  return x != kNoValue ? x : beside(g, divided, ScalarCode::kMul, 1 / std::numbers::sqrt2);
}

/// The end of the expression that begins at `erf` with argument x; kNoValue where it is another.
ValueId gelu_of(const Graph& g, const Readers& readers, NodeId erf, ValueId x) {
  const NodeId plus = readers.only(g.node(erf).outputs[0]);
  if (plus == kNoNode || beside(g, plus, ScalarCode::kAdd, 1) == kNoValue) return kNoValue;
  const ValueId sum = g.node(plus).outputs[0];
  const NodeId times = readers.only(sum);
  if (code_of(g, times) != ScalarCode::kMul) return kNoValue;
  const auto& in = g.node(times).inputs;
  const ValueId other = in[0] == sum ? in[1] : in[0], product = g.node(times).outputs[0];
  if (beside(g, g.value(other).producer, ScalarCode::kMul, 0.5) == x) return product;
  const NodeId half = readers.only(product);
  if (other != x || half == kNoNode) return kNoValue;
  return beside(g, half, ScalarCode::kMul, 0.5) == product ? g.node(half).outputs[0] : kNoValue;
}

}  // namespace

int fold_gelu(Graph& graph) {
  const Readers readers(graph);
  const std::vector<NodeId> order = graph.order();
  int folded = 0;
  for (NodeId id : order) {
    if (code_of(graph, id) != ScalarCode::kErf) continue;
    const ValueId x = argument(graph, id);
    if (x == kNoValue) continue;
    const ValueId result = gelu_of(graph, readers, id, x);
    if (result == kNoValue || graph.value(result).type != graph.value(x).type) continue;
    Patch patch(graph);
    patch.shunt(result, patch.builder().one("Gelu", {x}));
    patch.apply();
    ++folded;
  }
  if (folded > 0) graph.erase_dead();
  return folded;
}

}  // namespace espalier::passes

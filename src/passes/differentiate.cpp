#include "passes/differentiate.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "ir/derive.h"
#include "ir/room.h"

namespace espalier {
namespace {

/// Values that depend on something in `wrt`.
std::vector<bool> reached_from(const Graph& g, std::span<const ValueId> wrt) {
  std::vector<bool> reached(g.value_count(), false);
  for (ValueId v : wrt) reached[size_t(v)] = true;
  for (NodeId id : g.order()) {
    const Node& n = g.node(id);
    const bool any = std::ranges::any_of(
        n.inputs, [&](ValueId v) { return v != kNoValue && reached[size_t(v)]; });
    if (!any) continue;
    for (ValueId v : n.outputs)
      if (v != kNoValue && g.value(v).type.is_tensor() && is_float(g.value(v).tensor().dtype))
        reached[size_t(v)] = true;
  }
  return reached;
}

/// Values the loss depends on.
std::vector<bool> leading_to(const Graph& g, ValueId loss) {
  std::vector<bool> leads(g.value_count(), false);
  leads[size_t(loss)] = true;
  for (size_t i = g.order().size(); i-- > 0;) {
    const Node& n = g.node(g.order()[i]);
    if (std::ranges::none_of(n.outputs,
                             [&](ValueId v) { return v != kNoValue && leads[size_t(v)]; }))
      continue;
    for (ValueId v : n.inputs)
      if (v != kNoValue) leads[size_t(v)] = true;
  }
  return leads;
}

bool on_the_way(const Node& n, const std::vector<bool>& reached, const std::vector<bool>& leads) {
  return std::ranges::any_of(n.outputs, [&](ValueId v) {
    return v != kNoValue && reached[size_t(v)] && leads[size_t(v)];
  });
}

/// Expands nodes whose gradient goes through their expansion, until none is left on the way.
void expand_derived(Graph& g, ValueId& loss, std::span<const ValueId> wrt) {
  for (bool again = true; again;) {
    again = false;
    const auto reached = reached_from(g, wrt), leads = leading_to(g, loss);
    const std::vector<NodeId> order = g.order();
    for (NodeId id : order) {
      const Node& n = g.node(id);
      if (!n.room->gradient.derived() || !on_the_way(n, reached, leads)) continue;
      // The loss itself may be such a node's result; it is known again by its name.
      const std::string name = g.value(loss).name;
      expand_in_place(g, id);
      loss = g.find(name);
      again = true;
    }
  }
}

void refuse_all(const Graph& g, const std::vector<bool>& reached, const std::vector<bool>& leads) {
  std::string list;
  int count = 0;
  for (NodeId id : g.order()) {
    const Node& n = g.node(id);
    if (!n.room->gradient.refused() || !on_the_way(n, reached, leads)) continue;
    list += (count++ ? "; " : "") + describe(g, id) + " " + n.room->gradient.why();
  }
  if (count > 0)
    throw unsupported(g.name, "cannot be trained: " + list,
                      "freeze what lies before these nodes, or replace them");
}

}  // namespace

std::map<ValueId, ValueId> differentiate(Graph& g, ValueId loss, std::span<const ValueId> wrt) {
  if (!g.value(loss).type.is_tensor() || !is_float(g.value(loss).tensor().dtype))
    throw bad_input("loss '" + g.value(loss).name + "'", "is no float tensor");
  refuse_all(g, reached_from(g, wrt), leading_to(g, loss));
  expand_derived(g, loss, wrt);
  const auto reached = reached_from(g, wrt), leads = leading_to(g, loss);
  refuse_all(g, reached, leads);

  Builder b(g);
  const std::vector<NodeId> order = g.order();
  std::vector<ValueId> gradient(g.value_count(), kNoValue);
  const TensorType& loss_type = g.value(loss).tensor();
  gradient[size_t(loss)] = loss_type.rank() == 0
                               ? b.scalar(1, loss)
                               : b.one("Expand", {b.scalar(1, loss), b.one("Shape", {loss})});
  const auto accumulate = [&](ValueId v, ValueId d) {
    ValueId& sum = gradient[size_t(v)];
    sum = sum == kNoValue ? d : b.add(sum, d);
  };
  for (size_t i = order.size(); i-- > 0;) {
    const Node n = g.node(order[i]);
    if (!on_the_way(n, reached, leads)) continue;
    std::vector<ValueId> dy;
    bool flows = false;
    for (ValueId v : n.outputs) {
      dy.push_back(v == kNoValue ? kNoValue : gradient[size_t(v)]);
      flows = flows || dy.back() != kNoValue;
    }
    if (!flows) continue;
    std::vector<bool> wanted;
    for (ValueId v : n.inputs)
      wanted.push_back(v != kNoValue && reached[size_t(v)] && leads[size_t(v)]);
    const Values dx = (*n.room->gradient)(n.attrs, b, Tape(g, n, dy, wanted));
    for (size_t k = 0; k < std::min(dx.size(), n.inputs.size()); ++k)
      if (dx[k] != kNoValue && wanted[k]) accumulate(n.inputs[k], dx[k]);
  }
  std::map<ValueId, ValueId> result;
  for (ValueId v : wrt) {
    if (gradient[size_t(v)] == kNoValue)
      gradient[size_t(v)] =
          b.constant(Tensor(g.value(v).tensor().dtype, g.value(v).tensor().shape()));
    result[v] = gradient[size_t(v)];
  }
  return result;
}

}  // namespace espalier

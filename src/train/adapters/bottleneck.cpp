// Bottleneck adapters: behind a layer, a path down to few channels, a rectifier and a path up are
// added to the layer's result (Houlsby et al. 2019, arXiv:1902.00751, section 2.1). The path up
// begins with zeros, so that the network begins as it was. It cannot be merged: it is not linear.
//
// Without targets it stands behind the layers whose results are added to a residual stream.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "ir/builder.h"
#include "ir/room.h"
#include "train/adapters/low_rank.h"

namespace espalier {
namespace {

/// The node that alone reads `v`.
NodeId only_reader(const Graph& g, ValueId v) {
  if (std::ranges::count(g.outputs(), v) > 0) return kNoNode;
  NodeId found = kNoNode;
  for (NodeId id : g.order())
    for (ValueId in : g.node(id).inputs) {
      if (in != v) continue;
      if (found != kNoNode) return kNoNode;
      found = id;
    }
  return found;
}

bool adds(const Graph& g, NodeId id) {
  if (id == kNoNode || !g.node(id).room->pointwise.answered()) return false;
  const auto op = (*g.node(id).room->pointwise)(g.node(id).attrs, types_in(g, id));
  return op && op->code == ScalarCode::kAdd;
}

/// What the layer gives with its bias, if one is added by itself.
ValueId with_bias(const Graph& g, ValueId y) {
  const NodeId next = only_reader(g, y);
  if (!adds(g, next)) return y;
  for (ValueId v : g.node(next).inputs)
    if (g.is_constant(v)) return g.node(next).outputs[0];
  return y;
}

bool joins_a_residual(const Graph& g, ValueId y) {
  const NodeId next = only_reader(g, y);
  return adds(g, next) &&
         std::ranges::none_of(g.node(next).inputs, [&](ValueId v) { return g.is_constant(v); });
}

void put_behind(Adapting& a, const WeightTarget& t) {
  const ValueId y = with_bias(a.typed(), a.typed().node(t.node).outputs[0]);
  const int64_t width = t.outputs();
  const auto hidden = int64_t(a.setting("width"));
  const std::string base = t.parameter + ".adapter_";
  const NodeId first = a.next_node();
  Builder b = a.builder();
  Shape bias = {hidden}, bias_up = {width};
  bias.resize(1 + t.window.size(), 1);
  bias_up.resize(1 + t.window.size(), 1);
  const ValueId down = a.parameter(base + "down.weight", mixing_shape(t, width, hidden),
                                   1 / std::sqrt(double(width)));
  const ValueId narrow = b.add(mixed(a, t, y, down), a.parameter(base + "down.bias", bias, 0));
  const ValueId up = a.parameter(base + "up.weight", mixing_shape(t, hidden, width), 0);
  const ValueId path =
      b.add(mixed(a, t, b.one("Relu", {narrow}), up), a.parameter(base + "up.bias", bias_up, 0));
  a.replace(y, b.add(y, path), first);
}

void attach(Adapting& a) {
  std::vector<WeightTarget> targets = a.targets();
  if (!a.targeted())
    std::erase_if(targets, [&](const WeightTarget& t) {
      const Graph& g = a.typed();
      return !joins_a_residual(g, with_bias(g, g.node(t.node).outputs[0]));
    });
  if (targets.empty())
    throw unsupported(a.graph().name, "has no layer whose result is added to a residual",
                      "name the weights behind which adapters shall stand as 'targets'");
  for (const WeightTarget& t : targets) put_behind(a, t);
}

}  // namespace

const AdapterUnit& bottleneck_adapter() {
  static const AdapterUnit unit = {"bottleneck",
                                   "Houlsby et al. 2019, arXiv:1902.00751",
                                   "a narrow hidden layer behind layers, added to their results",
                                   {{"width", 16, 1, 65536, "channels of the hidden layer"}},
                                   {},
                                   false,
                                   attach};
  return unit;
}

}  // namespace espalier

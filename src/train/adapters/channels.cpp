// Sparse updates within layers: of each weight the part that reads the first of its input channels
// is trained (PockEngine, Zhu et al. 2023, arXiv:2310.17752, section 3.1), as a change beside it
// that begins with zeros: its gradient is that part of the weight's, and of the layer's input only
// those channels are kept for it.
#include <algorithm>
#include <cmath>

#include "train/adapters/low_rank.h"

namespace espalier {
namespace {

void put_beside(Adapting& a, const WeightTarget& t) {
  const auto kept = std::max<int64_t>(1, std::llround(a.setting("share") * double(t.inputs())));
  const std::string name = t.parameter + ".change";
  const NodeId first = a.next_node();
  Builder b = a.builder();
  ValueId x = a.graph().node(t.node).inputs[t.x_slot];
  if (kept < t.inputs()) x = b.one("Slice", {x, b.ints({0}), b.ints({kept}), b.ints({t.x_axis})});
  add_to_result(a, t, beside(a, t, x, a.parameter(name, t.with(t.in_axis, kept), 0)), first);
  a.merges(t, [t, name, kept](const Graph& g) {
    return expanded(*g.value(g.find(name)).constant, t.in_axis, t.inputs(),
                    [&](int64_t r, int64_t e) { return r == e && e < kept ? 1.0 : 0.0; });
  });
}

void attach(Adapting& a) {
  for (const WeightTarget& t : a.targets()) put_beside(a, t);
}

}  // namespace

const AdapterUnit& channels_adapter() {
  static const AdapterUnit unit = {
      "channels",
      "Zhu et al. 2023, arXiv:2310.17752",
      "of each weight what reads the first input channels",
      {{"share", 0.25, 1e-6, 1, "of the input channels, one at least"}},
      {},
      true,
      attach};
  return unit;
}

}  // namespace espalier

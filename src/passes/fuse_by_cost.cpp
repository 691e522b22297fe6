#include "passes/fuse_by_cost.h"

#include <algorithm>

#include "ir/derive.h"
#include "ir/room.h"

namespace espalier::passes {
namespace {

constexpr double kClearly = 0.9;

bool of_floats(const RegionFacts& f) {
  return is_float(f.x_type) && is_float(f.w_type) && is_float(f.y_type);
}

/// It holds several contractions: its kernel was measured against its operators one by one.
bool of_contractions(const Graph& expansion) {
  return std::ranges::count_if(expansion.order(),
                               [&](NodeId id) { return cost_of(expansion, id).macs > 0; }) > 1;
}

}  // namespace

int fuse_by_cost(Graph& graph, const CostModel& model) {
  int apart = 0;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    if (graph.node(id).room->full_name() != "espalier.Fused") continue;
    const RegionFacts facts = region_facts(graph, id);
    if (!of_floats(facts)) continue;
    const Graph expansion = expansion_of(graph, id);
    if (of_contractions(expansion)) continue;
    const double one_by_one = model.predict_ms(expansion);
    if (one_by_one >= kClearly * model.predict_ms(facts)) continue;
    expand_in_place(graph, id);
    ++apart;
  }
  return apart;
}

}  // namespace espalier::passes

#include "compress/optional_results.h"

#include "ir/room.h"

namespace espalier {

void drop_unread_results(Graph& g) {
  std::vector<bool> read(g.value_count(), false);
  for (NodeId id : g.order())
    for (ValueId v : g.node(id).inputs)
      if (v != kNoValue) read[size_t(v)] = true;
  for (ValueId v : g.outputs()) read[size_t(v)] = true;
  for (const StatePair& s : g.states()) read[size_t(s.output)] = true;
  for (NodeId id : g.order()) {
    const Node& n = g.node(id);
    size_t keep = n.outputs.size();
    while (keep > size_t(n.room->arity.min_outputs) &&
           (n.outputs[keep - 1] == kNoValue || !read[size_t(n.outputs[keep - 1])]))
      --keep;
    g.drop_results(id, keep);
  }
}

}  // namespace espalier

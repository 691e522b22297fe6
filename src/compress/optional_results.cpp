#include "compress/optional_results.h"

#include "ir/room.h"
#include "passes/fuse_region.h"

namespace espalier {

void drop_unread_results(Graph& g) {
  const passes::Readers readers(g);
  for (NodeId id : g.order()) {
    const Node& n = g.node(id);
    size_t keep = n.outputs.size();
    while (keep > size_t(n.room->arity.min_outputs) &&
           (n.outputs[keep - 1] == kNoValue || readers.count(n.outputs[keep - 1]) == 0))
      --keep;
    g.drop_results(id, keep);
  }
}

}  // namespace espalier

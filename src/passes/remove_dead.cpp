// Dead code: nodes and constants that no output and no state depends on.
#include "ir/graph.h"

namespace espalier::passes {

int remove_dead(Graph& graph) { return graph.erase_dead(); }

}  // namespace espalier::passes

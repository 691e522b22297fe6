// A graph as the text of one C function.
#pragma once

#include "ir/c_writer.h"

namespace espalier {

/// The graph as functions are made of it: folded, and every operator that has a C form only through
/// simpler ones expanded into these. UserError naming the node that has none.
Graph prepared_for_c(const Graph& graph);

struct CFunctionText {
  std::string text;
  size_t arena_bytes = 0;
};

/// static int `name`(unsigned char* arena, const inputs.., results..), for a prepared graph. Inputs
/// that are states are not const: they become what the graph says, where they lie if that can be.
CFunctionText c_function(CModule& module, const Graph& graph, const std::string& name);

}  // namespace espalier

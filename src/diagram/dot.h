// Boxes and arrows in Graphviz's language: the order of computation without what axes do.
#pragma once

#include <string>

#include "ir/graph.h"

namespace espalier::diagram {

/// With `types`, arrows carry the type of the value that flows along them. Constants are left out.
std::string to_dot(const Graph& graph, bool types = true);

}  // namespace espalier::diagram

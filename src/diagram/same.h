// Whether two graphs are the same in everything: names, order, types, attributes, elements.
#pragma once

#include <string>

#include "ir/graph.h"

namespace espalier::diagram {

/// The first difference found, in words; empty for equal graphs. Walks both graphs and shares
/// nothing with the text form, whose round trip it judges. A result nobody asked for equals one
/// nobody reads.
std::string difference(const Graph& a, const Graph& b);

}  // namespace espalier::diagram

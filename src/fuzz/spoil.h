// What planted bugs do to graphs. Operators are told by what their rooms say of them: scalar
// functions, attributes, costs.
#pragma once

#include "ir/graph.h"

namespace espalier::fuzz::spoil {

// Each takes the graph and how many rewrites the pass before it made, and returns how often it
// struck.
int residual(Graph& g, int changes);
int activation(Graph& g, int changes);
int difference(Graph& g, int changes);
int long_chain(Graph& g, int changes);
int transposition(Graph& g, int changes);
int kept_axes(Graph& g, int changes);
int last_element(Graph& g, int changes);
int axis(Graph& g, int changes);
int joined_order(Graph& g, int changes);
int pads(Graph& g, int changes);
int narrow_sum(Graph& g, int changes);
int choice(Graph& g, int changes);
int bounds(Graph& g, int changes);
int alpha(Graph& g, int changes);
int counted_padding(Graph& g, int changes);
int refolded(Graph& g, int changes);
int sum_in_chain(Graph& g, int changes);
int fused_again(Graph& g, int changes);

}  // namespace espalier::fuzz::spoil

// What happens to axes inside one operator, from the facets of its room: which run through, which
// are contracted, which the operator mixes, and along which an operand is repeated.
#pragma once

#include <string>
#include <vector>

#include "ir/facets.h"

namespace espalier::diagram {

/// Axes that belong together: index k of each place meets index k of the others.
struct Wire {
  std::string label;  ///< how many indices: a number, a symbol, or "?"
  std::vector<AxisPlace> places;
  bool whole = false;  ///< the operator reads the axis as a whole (a normalisation, a mean)
};

/// An operand that is the same for every index of an axis of the first result (broadcasting).
struct Repeat {
  int slot = 0;
  int axis = 0;
};

struct BoxAxes {
  std::vector<Wire> wires;
  std::vector<AxisPlace> mixed;  ///< axes in no wire: no index of theirs can be told from the rest
  std::vector<Repeat> repeats;
};

/// Of a node whose operands are no tensors of known rank, or whose results have sizes that do not
/// follow from those of its operands, all axes are mixed.
BoxAxes box_axes(const Graph& graph, NodeId node);

/// One line for each wire, one for what is mixed, one for each repeated operand:
///   axis 64: 1.0 2.0 -> r0.1     axis 0 of operands 1 and 2 is axis 1 of result 0
///   axis 3: 0.1 1.1 ->           contracted
///   axis whole 16: 0.1 -> r0.1
///   mixed: 0.2 0.3 -> r0.2 r0.3
///   repeat: 2 along r0.0 r0.2
/// A place that is a part of its axis adds {offset,outer,inner}.
std::vector<std::string> lines_of(const BoxAxes& axes);

/// The rank of a value's type; 0 for what has no known rank.
int64_t drawn_rank(const Type& type);

}  // namespace espalier::diagram

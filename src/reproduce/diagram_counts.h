// What a picture shows, counted from its SVG alone, and what a graph holds, counted from operands
// and shapes alone: two counts that share nothing.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "ir/graph.h"

namespace espalier {

struct PictureCounts {
  size_t boxes = 0;
  size_t axes = 0;      ///< of every operand that every box and output reads
  size_t links = 0;     ///< values on their way to an operand slot or output
  size_t parallel = 0;  ///< links that close a cycle: further paths beside others
  /// Broadcast axes of each box, in the graph's order; from graphs only those of pointwise
  /// operators, which alone broadcast by rules that shapes tell.
  std::vector<std::optional<size_t>> repeats;
};

/// Of a picture in which nothing is folded.
PictureCounts counted_in_picture(std::string_view svg);
PictureCounts counted_in_graph(const Graph& graph);

/// Pairs of boxes that lie over each other.
size_t overlaps_in_picture(std::string_view svg);

/// The picture without what only programs read: its source.
std::string without_source(std::string_view svg);

}  // namespace espalier

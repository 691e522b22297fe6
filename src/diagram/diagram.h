// Pictures of structure: a network as an SVG that shows every axis, which operator acts along which
// and is repeated along which, and paths side by side; after V. Abbott, "Neural Circuit Diagrams"
// (2024). The picture carries its source (diagram/source.h) and reads back to the same graph.
#pragma once

#include <string>
#include <string_view>

#include "diagram/source.h"

namespace espalier::diagram {

struct DrawOptions {
  /// With more boxes than this, blocks repeated in a row are drawn once.
  size_t most_boxes = 200;
};

/// The SVG. UserError (unsupported) for a network that has more boxes even so, or one that its
/// source would not give back.
std::string draw(const Graph& graph, const DrawOptions& options = {});

/// The source that a picture carries. UserError naming `file` where it has none.
std::string source_in(std::string_view svg, const std::string& file);

/// The graph of a picture; see parse_diagram for its constants.
Graph read_picture(std::string_view svg, const std::string& file, const Constants* kept = nullptr);

}  // namespace espalier::diagram

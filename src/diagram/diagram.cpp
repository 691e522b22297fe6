#include "diagram/diagram.h"

#include "base/error.h"
#include "diagram/layout.h"
#include "diagram/same.h"
#include "diagram/svg.h"

namespace espalier::diagram {
namespace {

/// The blocks to draw once so that the picture stays readable.
std::vector<Repetition> folded_blocks(const Graph& g, size_t most) {
  const size_t all = g.order().size();
  if (all <= most) return {};
  std::vector<Repetition> folded = repeated_blocks(g);
  size_t left = all;
  for (const Repetition& r : folded) left -= r.length * (r.count - 1);
  if (left > most)
    throw unsupported("graph '" + g.name + "'",
                      "has " + std::to_string(all) + " operators, " + std::to_string(left) +
                          " with repeated blocks drawn once: too many for one picture of " +
                          std::to_string(most),
                      "--boxes " + std::to_string(left) + " draws it all the same");
  return folded;
}

/// What stands for "&name;" or "&#number;" at `at`, which moves behind it.
std::string entity(std::string_view svg, size_t& at, const std::string& file) {
  const size_t end = svg.find(';', at);
  const std::string name(svg.substr(at + 1, end == std::string_view::npos ? 0 : end - at - 1));
  at = end + 1;
  if (name == "lt") return "<";
  if (name == "gt") return ">";
  if (name == "amp") return "&";
  if (name == "quot") return "\"";
  if (name == "apos") return "'";
  if (name == "#10" || name == "#xA" || name == "#xa") return "\n";
  throw bad_input(file, "has '&" + name + ";' in its diagram's source, which is not understood");
}

}  // namespace

std::string draw(const Graph& graph, const DrawOptions& options) {
  const std::vector<Repetition> folded = folded_blocks(graph, options.most_boxes);
  Constants kept;
  const std::string source = diagram_source(graph, &kept);
  std::string svg = to_svg(graph, lay_out(graph, folded), source);
  std::string lost;
  try {
    lost = difference(graph, read_picture(svg, "picture", &kept));
    // Without the elements too, as others will read it: they may decide a size.
    parse_diagram(source, "picture");
  } catch (const UserError& e) {
    lost = e.what();
  }
  if (!lost.empty())
    throw unsupported("graph '" + graph.name + "'",
                      "cannot be drawn as a picture that reads back: " + lost);
  return svg;
}

std::string source_in(std::string_view svg, const std::string& file) {
  const size_t id = svg.find("id=\"espalier-diagram\"");
  size_t at = id == std::string_view::npos ? id : svg.find('>', id);
  if (at == std::string_view::npos)
    throw bad_input(file, "carries no diagram's source",
                    "pictures that read back are those of inspect --diagram");
  ++at;
  std::string source;
  while (!svg.substr(at).starts_with("</metadata")) {
    if (at >= svg.size()) throw bad_input(file, "ends within its diagram's source");
    if (svg.substr(at).starts_with("<![CDATA[")) {
      const size_t begin = at + 9, end = svg.find("]]>", begin);
      if (end == std::string_view::npos) throw bad_input(file, "ends within its diagram's source");
      source += svg.substr(begin, end - begin);
      at = end + 3;
    } else if (svg[at] == '&') {
      source += entity(svg, at, file);
    } else if (svg[at] == '<') {
      throw bad_input(file, "has markup in its diagram's source");
    } else {
      source += svg[at++];
    }
  }
  return source;
}

Graph read_picture(std::string_view svg, const std::string& file, const Constants* kept) {
  return parse_diagram(source_in(svg, file), file, kept);
}

}  // namespace espalier::diagram

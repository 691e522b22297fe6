#include "diagram/dot.h"

namespace espalier::diagram {
namespace {

std::string quoted(const std::string& s) {
  std::string out = "\"";
  for (char c : s) out += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
  return out + "\"";
}

}  // namespace

std::string to_dot(const Graph& g, bool types) {
  std::string dot =
      "digraph " + quoted(g.name) + " {\n  node [shape=box, fontname=\"sans-serif\"];\n";
  const auto source = [&](ValueId v) {
    const NodeId p = g.value(v).producer;
    return p == kNoNode ? quoted(g.value(v).name) : "n" + std::to_string(p);
  };
  for (ValueId v : g.inputs()) dot += "  " + source(v) + " [shape=ellipse];\n";
  for (NodeId id : g.order()) {
    const Node& n = g.node(id);
    const std::string node = "n" + std::to_string(id);
    dot += "  " + node + " [label=" + quoted(describe(g, id)) + "];\n";
    for (ValueId v : n.inputs) {
      if (v == kNoValue || g.is_constant(v)) continue;
      dot += "  " + source(v) + " -> " + node;
      if (types) dot += " [label=" + quoted(to_string(g.value(v).type)) + "]";
      dot += ";\n";
    }
  }
  return dot + "}\n";
}

}  // namespace espalier::diagram

#include "diagram/repeats.h"

#include <algorithm>
#include <map>
#include <string>

#include "diagram/labels.h"
#include "ir/room.h"

namespace espalier::diagram {
namespace {

/// Longest block looked for.
constexpr size_t kLongest = 400;

/// What a node is, with its operands named by how far before it they are made.
std::string signature(const Graph& g, size_t at, const std::vector<size_t>& positions) {
  const Node& n = g.node(g.order()[at]);
  std::string s = n.room->full_name() + "|" + attributes_text(n);
  for (ValueId v : n.inputs) {
    s += "|";
    if (v == kNoValue) continue;
    const Value& value = g.value(v);
    s += to_string(value.type);
    if (value.producer != kNoNode)
      s += " @" + std::to_string(at - positions[size_t(value.producer)]) + "." +
           std::to_string(value.output_index);
    else
      s += value.constant ? " constant" : " input " + value.name;
  }
  // Bodies are not looked into.
  for (const auto& [name, value] : n.room->print(n.attrs, false))
    if (std::holds_alternative<GraphRef>(value)) s += "|#" + std::to_string(at);
  for (ValueId v : n.outputs) s += "|>" + (v == kNoValue ? "" : to_string(g.value(v).type));
  return s;
}

}  // namespace

std::vector<Repetition> repeated_blocks(const Graph& graph, size_t least) {
  const size_t n = graph.order().size();
  std::vector<size_t> positions(graph.node_count(), 0);
  for (size_t i = 0; i < n; ++i) positions[size_t(graph.order()[i])] = i;
  std::map<std::string, int> numbers;
  std::vector<int> kinds(n);
  for (size_t i = 0; i < n; ++i)
    kinds[i] =
        numbers.try_emplace(signature(graph, i, positions), int(numbers.size())).first->second;
  // alike[p - 1][i]: how many positions from i on equal the one p further.
  const size_t longest = std::min(kLongest, n / 2);
  std::vector<std::vector<uint32_t>> alike(longest, std::vector<uint32_t>(n + 1, 0));
  for (size_t p = 1; p <= longest; ++p)
    for (size_t i = n - p; i-- > 0;)
      alike[p - 1][i] = kinds[i] == kinds[i + p] ? alike[p - 1][i + 1] + 1 : 0;
  std::vector<Repetition> found;
  for (size_t i = 0; i < n;) {
    Repetition best;
    size_t saved = 0;
    for (size_t p = 1; p <= longest; ++p) {
      const size_t more = alike[p - 1][i] / p;
      if (more * p <= saved) continue;
      best = {i, p, more + 1};
      saved = more * p;
    }
    if (saved < std::max<size_t>(least, 1)) {
      ++i;
      continue;
    }
    found.push_back(best);
    i += best.length * best.count;
  }
  return found;
}

}  // namespace espalier::diagram

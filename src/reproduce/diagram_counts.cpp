#include "reproduce/diagram_counts.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <numeric>
#include <string>

#include "ir/builder.h"
#include "ir/room.h"

namespace espalier {
namespace {

/// How many edges join what earlier ones have joined already.
size_t cycles_of(size_t nodes, const std::vector<std::pair<size_t, size_t>>& edges) {
  std::vector<size_t> root(nodes);
  std::iota(root.begin(), root.end(), size_t{0});
  const auto find = [&](size_t i) {
    while (root[i] != i) i = root[i] = root[root[i]];
    return i;
  };
  size_t cycles = 0;
  for (const auto& [a, b] : edges) {
    const size_t x = find(a), y = find(b);
    if (x == y) ++cycles;
    root[x] = y;
  }
  return cycles;
}

/// Elements of an SVG by their start tags.
template <class F>
void for_each_tag(std::string_view svg, F visit) {
  for (size_t at = 0; (at = svg.find('<', at)) != std::string_view::npos;) {
    const size_t end = svg.find('>', at);
    if (end == std::string_view::npos) return;
    visit(svg.substr(at, end + 1 - at));
    at = end + 1;
  }
}

std::string_view attribute(std::string_view tag, std::string_view name) {
  const std::string key = " " + std::string(name) + "=\"";
  const size_t at = tag.find(key);
  if (at == std::string_view::npos) return {};
  const size_t begin = at + key.size();
  return tag.substr(begin, tag.find('"', begin) - begin);
}

double number(std::string_view tag, std::string_view name) {
  return std::atof(std::string(attribute(tag, name)).c_str());
}

/// Broadcast axes of a pointwise operator by numpy's rules; nothing for other operators.
std::optional<size_t> broadcast_axes(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  if (!n.room->pointwise.answered() || n.outputs.empty() || n.outputs[0] == kNoValue)
    return std::nullopt;
  std::optional<ScalarOp> op;
  try {
    op = (*n.room->pointwise)(n.attrs, types_in(g, id));
  } catch (const UserError&) {
    return std::nullopt;
  }
  const Type& result = g.value(n.outputs[0]).type;
  if (!op || !result.is_tensor()) return std::nullopt;
  const Dims& y = result.tensor().dims;
  size_t repeats = 0;
  for (size_t slot = 0; slot < n.inputs.size() && int(slot) < operands_of(op->code); ++slot) {
    if (n.inputs[slot] == kNoValue || !g.value(n.inputs[slot]).type.is_tensor())
      return std::nullopt;
    const Dims& x = g.value(n.inputs[slot]).tensor().dims;
    for (size_t back = 1; back <= y.size(); ++back) {
      const bool one = back > x.size() || x[x.size() - back].is(1);
      repeats += one && !y[y.size() - back].is(1);
    }
  }
  return repeats;
}

}  // namespace

PictureCounts counted_in_picture(std::string_view svg) {
  PictureCounts c;
  std::map<size_t, size_t> numbers;
  std::vector<std::pair<size_t, size_t>> edges;
  const auto item = [&](std::string_view digits) {
    const size_t index = std::strtoull(std::string(digits).c_str(), nullptr, 10);
    return numbers.try_emplace(index, numbers.size()).first->second;
  };
  for_each_tag(svg, [&](std::string_view tag) {
    if (tag.starts_with("<path class=\"axis\"")) ++c.axes;
    if (tag.starts_with("<path class=\"repeat\"") && !c.repeats.empty()) ++*c.repeats.back();
    if (tag.starts_with("<g class=\"link\"")) {
      ++c.links;
      edges.emplace_back(item(attribute(tag, "data-from")), item(attribute(tag, "data-to")));
    }
    if (tag.starts_with("<g class=\"box\"")) {
      ++c.boxes;
      c.repeats.emplace_back(size_t{0});
    }
  });
  c.parallel = cycles_of(numbers.size(), edges);
  return c;
}

PictureCounts counted_in_graph(const Graph& g) {
  PictureCounts c;
  std::vector<std::pair<size_t, size_t>> edges;
  const size_t values = g.value_count(), nodes = g.node_count();
  const auto maker = [&](ValueId v) {
    const NodeId producer = g.value(v).producer;
    return producer == kNoNode ? nodes + size_t(v) : size_t(producer);
  };
  const auto rank = [&](ValueId v) {
    return g.value(v).type.is_tensor() ? g.value(v).tensor().dims.size() : size_t{0};
  };
  for (NodeId id : g.order()) {
    ++c.boxes;
    c.repeats.push_back(broadcast_axes(g, id));
    for (ValueId v : g.node(id).inputs) {
      if (v == kNoValue) continue;
      c.axes += rank(v);
      if (!g.is_constant(v)) edges.emplace_back(maker(v), size_t(id));
    }
  }
  for (size_t i = 0; i < g.outputs().size(); ++i) {
    c.axes += rank(g.outputs()[i]);
    edges.emplace_back(maker(g.outputs()[i]), nodes + values + i);
  }
  c.links = edges.size();
  c.parallel = cycles_of(nodes + values + g.outputs().size(), edges);
  return c;
}

size_t overlaps_in_picture(std::string_view svg) {
  struct Rect {
    double x, y, right, bottom;
  };
  std::vector<Rect> rects;
  for_each_tag(svg, [&](std::string_view tag) {
    if (!tag.starts_with("<rect class=\"body\"")) return;
    const double x = number(tag, "x"), y = number(tag, "y");
    rects.push_back({x, y, x + number(tag, "width"), y + number(tag, "height")});
  });
  size_t overlaps = 0;
  for (size_t i = 0; i < rects.size(); ++i)
    for (size_t k = 0; k < i; ++k)
      overlaps += rects[i].x < rects[k].right && rects[k].x < rects[i].right &&
                  rects[i].y < rects[k].bottom && rects[k].y < rects[i].bottom;
  return overlaps;
}

std::string without_source(std::string_view svg) {
  const size_t begin = svg.find("<metadata"), end = svg.find("</metadata>");
  if (begin == std::string_view::npos || end == std::string_view::npos) return std::string(svg);
  return std::string(svg.substr(0, begin)) + std::string(svg.substr(end));
}

}  // namespace espalier

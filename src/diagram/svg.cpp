#include "diagram/svg.h"

#include <algorithm>
#include <cstdio>
#include <optional>

#include "diagram/labels.h"
#include "ir/room.h"

namespace espalier::diagram {
namespace {

constexpr const char* kStyle = R"(
:root{color-scheme:light dark}
svg{--ink:#1c2420;--soft:#5d6963;--paper:#fbfcfa;--line:#b9c3bc;--leaf:#2f7d4f;--wood:#a8632a;--sky:#2c6fa8;--card:#f1f4f0}
@media(prefers-color-scheme:dark){svg{--ink:#e6ece8;--soft:#9aa8a0;--paper:#141917;--line:#46524b;--leaf:#6cc28d;--wood:#e0a06a;--sky:#7ab6e8;--card:#1c2320}}
text{fill:var(--ink);font:11px ui-monospace,monospace}.op{font-weight:600}.soft{fill:var(--soft)}.title{font:600 14px system-ui,sans-serif}.key{font:11px system-ui,sans-serif;fill:var(--soft)}
.paper{fill:var(--paper)}.body{fill:var(--card);stroke:var(--line)}.input .body,.output .body{rx:16px}
path{fill:none}.axis{stroke:var(--ink);stroke-width:1.3}.thread{stroke:var(--soft);stroke-width:1.3;stroke-dasharray:1 3}
.tie{stroke:var(--leaf);stroke-width:1.3}.whole{stroke-width:3.2}.end{stroke:var(--ink);stroke-width:2.2}.dot{fill:var(--leaf)}
.repeat{stroke:var(--wood);stroke-width:1.6;stroke-dasharray:2 3}.between{stroke:var(--soft);stroke-dasharray:5 4}.frame{fill:none;stroke:var(--sky);stroke-width:1.5;stroke-dasharray:8 4}.times{fill:var(--sky);font:600 13px system-ui,sans-serif}
)";

std::string number(double v) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.1f", v);
  return buffer;
}
std::string point(double x, double y) { return number(x) + " " + number(y); }

std::string text(double x, double y, const std::string& s, const char* css = "") {
  return "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\"" +
         (*css ? " class=\"" + std::string(css) + "\"" : std::string()) + ">" + escaped(s) +
         "</text>";
}
std::string path(const char* css, const std::string& d, const std::string& more = "") {
  return "<path class=\"" + std::string(css) + "\"" + more + " d=\"" + d + "\"/>";
}
std::string data(const char* key, const std::string& value) {
  return " data-" + std::string(key) + "=\"" + escaped(value) + "\"";
}
std::string title(const std::vector<std::string>& lines) {
  std::string s = "<title>";
  for (size_t i = 0; i < lines.size(); ++i) s += (i ? "\n" : "") + escaped(lines[i]);
  return s + "</title>";
}

struct Point {
  double x = 0, y = 0;
};

class Writer {
 public:
  Writer(const Graph& g, const Layout& layout) : g_(g), layout_(layout) {}

  std::string drawing() {
    for (const Frame& f : layout_.frames) frame(f);
    for (const Link& l : layout_.links) link(l);
    for (size_t i = 0; i < layout_.drawn; ++i) item(layout_.items[i], i);
    return std::move(out_);
  }

 private:
  void frame(const Frame& f) {
    out_ += "<rect class=\"frame\" rx=\"8\" x=\"" + number(f.x) + "\" y=\"" + number(f.y) +
            "\" width=\"" + number(f.width) + "\" height=\"" + number(f.height) + "\"/>" +
            text(f.x + 6, f.y + 11, "×" + std::to_string(f.count), "times") + "\n";
  }

  static double wire_x(const Item& item, const Bundle& b, double left, size_t wire) {
    return item.x + left + b.at[wire];
  }
  double result_x(const Item& item, size_t slot, size_t wire) const {
    return wire_x(item, item.results[slot], item.result_x[slot], wire);
  }
  double operand_x(const Item& item, size_t slot, size_t wire) const {
    return wire_x(item, item.operands[slot], item.operand_x[slot], wire);
  }

  /// Down to the lower edge of its layer, across the gap, straight through each bend.
  std::string route(const Link& l, size_t wire) const {
    const Item& from = layout_.items[size_t(l.from)];
    const Item& to = layout_.items[size_t(l.to)];
    double x = result_x(from, size_t(l.result), wire);
    int layer = from.layer;
    std::string d = "M" + point(x, from.y + from.height);
    const auto step = [&](const Item& next, double next_x) {
      const double y0 = layout_.layer_bottom[size_t(layer)], y1 = next.y, middle = (y0 + y1) / 2;
      d += "V" + number(y0);
      if (next_x == x)
        d += "V" + number(y1);
      else
        d += "C" + point(x, middle) + " " + point(next_x, middle) + " " + point(next_x, y1);
      x = next_x;
      layer = next.layer;
    };
    for (int bend : l.bends) {
      const Item& b = layout_.items[size_t(bend)];
      step(b, operand_x(b, 0, wire));
    }
    step(to, operand_x(to, size_t(l.slot), wire));
    return d;
  }

  void link(const Link& l) {
    const Item& from = layout_.items[size_t(l.from)];
    const Bundle& bundle = from.results[size_t(l.result)];
    const Value& v = g_.value(l.value);
    out_ += "<g class=\"link\"" + data("from", std::to_string(l.from)) +
            data("to", std::to_string(l.to)) + data("slot", std::to_string(l.slot)) +
            data("value", v.name) + ">" + title({v.name + ": " + to_string(v.type)});
    for (size_t wire = 0; wire < bundle.at.size(); ++wire)
      out_ += path(bundle.thread() ? "thread" : "axis", route(l, wire));
    out_ += "</g>\n";
  }

  void item(const Item& it, size_t index) {
    const char* css = it.kind == Item::Kind::kInput    ? "input"
                      : it.kind == Item::Kind::kOutput ? "output"
                                                       : "box";
    out_ += "<g class=\"" + std::string(css) + "\"" + data("item", std::to_string(index)) + ">" +
            title(about(it)) + "<rect class=\"body\" rx=\"5\" x=\"" + number(it.x) + "\" y=\"" +
            number(it.y) + "\" width=\"" + number(it.width) + "\" height=\"" + number(it.height) +
            "\"/>";
    for (size_t i = 0; i < it.lines.size(); ++i)
      out_ += text(it.x + 7, it.y + 16 + 14 * double(i), it.lines[i], i == 0 ? "op" : "soft");
    if (it.kind == Item::Kind::kBox) {
      for (const Store& s : it.stores) store(it, s);
      separators(it);
      for (const Wire& w : it.axes.wires) tie(it, w);
      for (const AxisPlace& p : it.axes.mixed) end(it, p);
      for (const Repeat& r : it.axes.repeats) repeat(it, r);
    }
    for (size_t slot = 0; slot < it.results.size(); ++slot) labels(it, slot);
    out_ += "</g>\n";
  }

  std::vector<std::string> about(const Item& it) const {
    if (it.kind != Item::Kind::kBox)
      return {g_.value(it.value).name + ": " + to_string(g_.value(it.value).type)};
    std::vector<std::string> lines = {describe(g_, it.node)};
    if (const std::string a = attributes_text(g_.node(it.node)); !a.empty()) lines.push_back(a);
    for (std::string& line : lines_of(it.axes)) lines.push_back(std::move(line));
    return lines;
  }

  /// Extents stand where wires begin.
  void labels(const Item& it, size_t slot) {
    const Bundle& b = it.results[slot];
    for (size_t wire = 0; wire < b.labels.size(); ++wire)
      out_ += text(result_x(it, slot, wire) + 3, it.y + it.height + 12, b.labels[wire]);
  }

  /// Operands of a tuple, as they come from above, are told apart by broken lines.
  void separators(const Item& it) {
    const Bundle* before = nullptr;
    for (size_t slot = 0; slot < it.operands.size(); ++slot) {
      if (it.operands[slot].value == kNoValue) continue;
      const double x = it.x + it.operand_x[slot] - 9;
      if (before) out_ += path("between", "M" + point(x, it.y - 14) + "V" + number(it.y + 6));
      before = &it.operands[slot];
    }
  }

  void store(const Item& it, const Store& s) {
    const Value& v = g_.value(s.bundle.value);
    const double x = it.x + it.width;
    out_ += "<g class=\"store\"" + data("slot", std::to_string(s.slot)) + data("value", v.name) +
            ">" + title({v.name + ": " + to_string(v.type)});
    size_t letters = 0;
    for (size_t wire = 0; wire < s.bundle.at.size(); ++wire) {
      const double y = it.y + s.bundle.at[wire];
      out_ += path(s.bundle.thread() ? "thread" : "axis", "M" + point(x + 16, y) + "H" + number(x));
      if (s.bundle.thread()) continue;
      out_ += text(x + 19, y + 4, s.bundle.labels[wire]);
      letters = std::max(letters, characters(s.bundle.labels[wire]));
    }
    const double middle = it.y + (s.bundle.at.front() + s.bundle.at.back()) / 2;
    out_ += text(x + 24 + 6.3 * double(letters), middle + 4, s.name, "soft") + "</g>";
  }

  static const Store* store_of(const Item& it, int slot) {
    const auto found = std::ranges::find(it.stores, slot, &Store::slot);
    return found == it.stores.end() ? nullptr : &*found;
  }

  /// Where an axis meets its box; nothing for what is not drawn.
  std::optional<Point> port(const Item& it, const AxisPlace& p) const {
    const auto slot = size_t(p.slot), wire = size_t(p.axis);
    if (p.output) {
      if (slot >= it.results.size() || wire >= it.results[slot].labels.size()) return std::nullopt;
      return Point{result_x(it, slot, wire), it.y + it.height};
    }
    if (const Store* s = store_of(it, p.slot)) {
      if (wire >= s->bundle.labels.size()) return std::nullopt;
      return Point{it.x + it.width, it.y + s->bundle.at[wire]};
    }
    if (slot >= it.operands.size() || wire >= it.operands[slot].labels.size()) return std::nullopt;
    return Point{operand_x(it, slot, wire), it.y};
  }

  /// From above the first result of the tie; without results, a dot where its operands meet.
  void tie(const Item& it, const Wire& w) {
    const char* css = w.whole ? "tie whole" : "tie";
    std::vector<Point> above, beside, below;
    for (const AxisPlace& p : w.places) {
      const auto at = port(it, p);
      if (!at) continue;
      (p.output ? below : store_of(it, p.slot) ? beside : above).push_back(*at);
    }
    if (below.empty()) {
      const double y = beside.empty() ? it.y + it.height / 2 : beside[0].y;
      const double x = !above.empty() ? above[0].x : it.x + it.width - 8;
      for (const Point& p : above)
        out_ += path(css, "M" + point(p.x, p.y) + "V" + number(y) + "H" + number(x));
      for (const Point& p : beside)
        out_ += path(css, "M" + point(p.x, p.y) + "H" + number(x) + "V" + number(y));
      out_ += "<circle class=\"dot\" r=\"2.6\" cx=\"" + number(x) + "\" cy=\"" + number(y) + "\"/>";
      return;
    }
    const Point first = below[0];
    for (const Point& p : above) out_ += path(css, across(p, first));
    for (const Point& p : beside)
      out_ += path(css, "M" + point(p.x, p.y) + "H" + number(first.x) + "V" + number(first.y));
    for (size_t i = above.empty() && beside.empty() ? 0 : 1; i < below.size(); ++i) {
      if (!above.empty())
        out_ += path(css, across(above[0], below[i]));
      else
        out_ += path(css, "M" + point(below[i].x, below[i].y) + "v-8");
    }
  }

  static std::string across(const Point& from, const Point& to) {
    if (from.x == to.x) return "M" + point(from.x, from.y) + "V" + number(to.y);
    const double middle = (from.y + to.y) / 2;
    return "M" + point(from.x, from.y) + "C" + point(from.x, middle) + " " + point(to.x, middle) +
           " " + point(to.x, to.y);
  }

  /// A bar across the wire, inside the box.
  void end(const Item& it, const AxisPlace& p) {
    const auto at = port(it, p);
    if (!at) return;
    if (!p.output && store_of(it, p.slot))
      out_ += path("end", "M" + point(at->x - 4, at->y - 3.5) + "v7");
    else
      out_ += path("end", "M" + point(at->x - 4, p.output ? at->y - 4 : at->y + 4) + "h8");
  }

  void repeat(const Item& it, const Repeat& r) {
    const auto to = port(it, AxisPlace::out(0, r.axis));
    if (!to) return;
    const auto slot = size_t(r.slot);
    std::string d;
    if (const Store* s = store_of(it, r.slot))
      d = "M" + point(it.x + it.width, it.y + s->bundle.at[0]) + "L" + point(to->x, to->y);
    else if (slot < it.operands.size() && it.operands[slot].value != kNoValue)
      d = "M" + point(operand_x(it, slot, 0), it.y) + "L" + point(to->x, to->y);
    else
      return;
    out_ += path("repeat", d,
                 data("slot", std::to_string(r.slot)) + data("axis", std::to_string(r.axis)));
  }

  const Graph& g_;
  const Layout& layout_;
  std::string out_;
};

/// The source between <![CDATA[ and ]]>, which it must not hold itself.
std::string as_cdata(const std::string& source) {
  std::string out = "<![CDATA[";
  const std::string text = with_valid_bytes(source);
  size_t at = 0;
  for (size_t end; (end = text.find("]]>", at)) != std::string::npos; at = end + 2)
    out += text.substr(at, end + 2 - at) + "]]><![CDATA[";
  return out + text.substr(at) + "]]>";
}

std::string legend(double y) {
  const char* lines[] = {
      "A line is an axis, with its extent where it begins; a dotted line has no axes.",
      "Green through a box: the operator acts at each index alone; thick: it reads the axis whole.",
      "Green to a dot: contracted. A bar: the operator mixes the axis.",
      "Brown and dotted: an operand is repeated along an axis (broadcasting).",
      "Boxes side by side are parallel; lines from the right are constants."};
  std::string out;
  for (const char* line : lines) out += text(16, y += 15, line, "key") + "\n";
  return out;
}

}  // namespace

std::string to_svg(const Graph& graph, const Layout& layout, const std::string& source) {
  const std::string drawing = Writer(graph, layout).drawing();
  const std::string width = number(std::max(layout.width, 560.0));
  const std::string height = number(layout.height + 90);
  const size_t boxes = graph.order().size();
  size_t drawn = 0;
  for (size_t i = 0; i < layout.drawn; ++i) drawn += layout.items[i].kind == Item::Kind::kBox;
  std::string about = graph.name + " · " + std::to_string(boxes) + " operators";
  if (drawn != boxes) about += ", repeated blocks drawn once";
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + width + " " + height +
         "\" width=\"" + width + "\" height=\"" + height +
         "\" style=\"max-width:100%;height:auto\" role=\"img\" aria-label=\"Diagram of " +
         escaped(graph.name) + "\">\n<metadata id=\"espalier-diagram\">" + as_cdata(source) +
         "</metadata>\n<style>" + kStyle +
         "</style>\n<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n" +
         text(16, 24, about, "title") + "\n" + drawing + legend(layout.height) + "</svg>\n";
}

}  // namespace espalier::diagram

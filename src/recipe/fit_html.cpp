// report.html: one self-contained page.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "recipe/fit_summary.h"

namespace espalier {
namespace {

std::string escaped(const std::string& s) {
  std::string out;
  for (char c : s) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

std::string format(const char* pattern, double v) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, pattern, v);
  return buffer;
}

std::string bytes(double n) {
  if (n >= 1e6) return format("%.2f MB", n / 1e6);
  return n >= 1e3 ? format("%.1f kB", n / 1e3) : format("%.0f B", n);
}

constexpr const char* kStyle = R"(
:root{color-scheme:light dark;--ink:#1c2420;--soft:#5d6963;--paper:#fbfcfa;--line:#d8ded9;--leaf:#2f7d4f;--wood:#a8632a;--sky:#2c6fa8;--card:#f1f4f0}
@media(prefers-color-scheme:dark){:root{--ink:#e6ece8;--soft:#9aa8a0;--paper:#141917;--line:#313a35;--leaf:#6cc28d;--wood:#e0a06a;--sky:#7ab6e8;--card:#1c2320}}
*{box-sizing:border-box}body{margin:0 auto;max-width:60rem;padding:1.2rem;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;margin:.2rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}p{margin:.4rem 0}small,.soft{color:var(--soft)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.7rem;margin:1rem 0}
.card{background:var(--card);border-radius:.6rem;padding:.7rem .9rem}.card b{display:block;font-size:1.35rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .6rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}th:first-child,td:first-child{text-align:left}
tr.chosen td{font-weight:600;color:var(--leaf)}svg{width:100%;min-width:34rem;height:auto;display:block}svg text{fill:var(--ink);font:12px system-ui,sans-serif}
svg .grid{stroke:var(--line)}svg .front{stroke:var(--leaf);fill:none;stroke-width:1.5}code{background:var(--card);padding:.1rem .3rem;border-radius:.3rem;overflow-wrap:anywhere}
.met{color:var(--leaf)}.missed{color:var(--wood)}
)";

/// A plot area with linear or logarithmic x and linear y.
class Plot {
 public:
  Plot(double x0, double x1, double y0, double y1, bool log_x) : log_(log_x) {
    x0_ = at(x0);
    x1_ = at(x1);
    if (x1_ <= x0_) x1_ = x0_ + 1;
    y0_ = y0;
    y1_ = y1 <= y0 ? y0 + 1 : y1;
  }
  double x(double v) const { return 60 + 620 * (at(v) - x0_) / (x1_ - x0_); }
  double y(double v) const { return 300 - 270 * (v - y0_) / (y1_ - y0_); }
  std::string axes(const std::string& x_label, const std::string& y_label) const {
    std::string s;
    for (int i = 0; i <= 4; ++i) {
      const double v = y0_ + (y1_ - y0_) * i / 4;
      s += "<line class='grid' x1='60' x2='680' y1='" + format("%.1f", y(v)) + "' y2='" +
           format("%.1f", y(v)) + "'/><text x='52' y='" + format("%.1f", y(v) + 4) +
           "' text-anchor='end'>" + format("%.4g", v) + "</text>";
      const double t = x0_ + (x1_ - x0_) * i / 4, u = log_ ? std::pow(10, t) : t;
      s += "<text x='" + format("%.1f", x(u)) + "' y='318' text-anchor='middle'>" +
           format("%.3g", u) + "</text>";
    }
    return s + "<text x='370' y='338' text-anchor='middle'>" + x_label +
           "</text><text x='60' y='18'>" + y_label + "</text>";
  }

 private:
  double at(double v) const { return log_ ? std::log10(std::max(v, 1e-9)) : v; }
  bool log_;
  double x0_, x1_, y0_, y1_;
};

std::string pareto_plot(const FitSummary& s) {
  if (s.candidates.empty()) return "";
  double x0 = 1e30, x1 = 0, y0 = 101, y1 = 0;
  for (const auto& c : s.candidates) {
    x0 = std::min(x0, c.measured.latency_ms);
    x1 = std::max(x1, c.measured.latency_ms);
    y0 = std::min(y0, c.measured.accuracy);
    y1 = std::max(y1, c.measured.accuracy);
  }
  const Plot plot(x0 * 0.85, x1 * 1.25, y0 - 0.4, y1 + 0.4, true);
  std::string svg =
      "<div class='scroll'><svg viewBox='0 0 700 345' role='img' aria-label='Accuracy against "
      "latency of all "
      "candidates'>" +
      plot.axes("latency, ms (logarithmic; lower is better)", "validation accuracy, %");
  std::vector<const FitCandidate*> front;
  for (const auto& c : s.candidates)
    if (c.pareto) front.push_back(&c);
  std::ranges::sort(front, {}, [](const FitCandidate* c) { return c->measured.latency_ms; });
  std::string points;
  for (const auto* c : front)
    points += format("%.1f,", plot.x(c->measured.latency_ms)) +
              format("%.1f ", plot.y(c->measured.accuracy));
  svg += "<polyline class='front' points='" + points + "'/>";
  // Points carry their row's number in the table below; a number moves down where another is.
  std::vector<std::pair<double, double>> labels;
  for (size_t i = 0; i < s.candidates.size(); ++i) {
    const FitCandidate& c = s.candidates[i];
    const double px = plot.x(c.measured.latency_ms), py = plot.y(c.measured.accuracy);
    const double radius = 4 + 8 * std::sqrt(c.measured.weight_bytes /
                                            std::max(1.0, s.candidates[0].measured.weight_bytes));
    double label_y = py - radius - 4;
    const auto taken = [&](const auto& at) {
      return std::abs(at.first - px) < 14 && std::abs(at.second - label_y) < 14;
    };
    while (std::ranges::any_of(labels, taken)) label_y -= 14;
    labels.emplace_back(px, label_y);
    svg += "<circle cx='" + format("%.1f", px) + "' cy='" + format("%.1f", py) + "' r='" +
           format("%.1f", radius) + "' fill='var(" +
           (c.name == s.chosen ? "--leaf"
            : c.cut            ? "--wood"
                               : "--sky") +
           ")' fill-opacity='" + (c.meets ? "0.85" : "0.35") + "'><title>" + escaped(c.name) +
           "</title></circle><text text-anchor='middle' x='" + format("%.1f", px) + "' y='" +
           format("%.1f", label_y) + "'>" + std::to_string(i + 1) + "</text>";
  }
  return svg +
         "</svg></div><p class='soft'>Numbers are the rows of the table; area shows weight bytes; "
         "faint points miss the budget; green is "
         "what was returned; the line joins the Pareto set.</p>";
}

std::string curve_plot(const FitSummary& s) {
  if (s.curves.size() < 2) return "";
  double x1 = 1, y0 = 100, y1 = 0;
  for (const auto& p : s.curves) {
    x1 = std::max(x1, p.epoch);
    y0 = std::min(y0, p.validation_accuracy);
    y1 = std::max(y1, p.validation_accuracy);
  }
  const Plot plot(0, x1, std::floor(y0), std::min(100.0, std::ceil(y1)), false);
  std::string svg =
      "<div class='scroll'><svg viewBox='0 0 700 345' role='img' aria-label='Validation accuracy "
      "by epoch'>" +
      plot.axes("epoch", "validation accuracy, %");
  std::set<std::string> phases;
  for (const auto& p : s.curves) phases.insert(p.phase);
  const char* colours[] = {"--wood", "--sky", "--leaf"};
  int i = 0;
  for (const auto& phase : phases) {
    std::string points;
    for (const auto& p : s.curves)
      if (p.phase == phase)
        points += format("%.1f,", plot.x(p.epoch)) + format("%.1f ", plot.y(p.validation_accuracy));
    const std::string colour = std::string("var(") + colours[i % 3] + ")";
    svg += "<polyline fill='none' stroke-width='2' stroke='" + colour + "' points='" + points +
           "'/><text x='" + std::to_string(560) + "' y='" + std::to_string(270 - 16 * i) +
           "' style='fill:" + colour + "'>" + escaped(phase) + "</text>";
    ++i;
  }
  return svg + "</svg></div>";
}

std::string candidate_table(const FitSummary& s) {
  std::string t =
      "<div class='scroll'><table><tr><th>candidate</th><th>val. accuracy</th><th>latency, ms</th>"
      "<th>p10–p90</th><th>faster</th><th>weights</th><th>MACs</th><th>budget</th></tr>";
  int row = 0;
  for (const auto& c : s.candidates) {
    const Measured& m = c.measured;
    t += std::string("<tr") + (c.name == s.chosen ? " class='chosen'" : "") + "><td>" +
         std::to_string(++row) + "&ensp;" + escaped(c.name) + "</td><td>" +
         format("%.2f", m.accuracy) + "</td><td>" + format("%.4f", m.latency_ms) + "</td><td>" +
         format("%.4f–", m.p10_ms) + format("%.4f", m.p90_ms) + "</td><td>" +
         format("%.2fx", c.speedup) + "</td><td>" + bytes(m.weight_bytes) + "</td><td>" +
         format("%.2f M", m.macs / 1e6) + "</td><td>" + (c.meets ? "met" : escaped(c.why_not)) +
         "</td></tr>";
  }
  return t + "</table></div>";
}

/// The best candidate of a kind, as "2.1x, 93.2 %".
std::string best_of(const FitSummary& s, bool cut, bool low_precision) {
  const FitCandidate* best = nullptr;
  for (const auto& c : s.candidates)
    if (c.cut == cut && (c.precision != "f32") == low_precision &&
        (!best || c.speedup > best->speedup))
      best = &c;
  if (!best) return "–";
  return format("%.2fx", best->speedup) + format(" · %.2f %%", best->measured.accuracy);
}

std::string layer_table(const FitSummary& s) {
  if (s.layers.empty()) return "";
  std::string t =
      "<h2>Layers before and after</h2><div "
      "class='scroll'><table><tr><th>layer</th><th>operator</th>"
      "<th>channels</th><th>MACs, M</th><th>ms</th><th>precision</th></tr>";
  for (const auto& l : s.layers)
    t += "<tr><td>" + escaped(l.name) + "</td><td>" + escaped(l.op) + "</td><td>" +
         std::to_string(l.channels_before) + " → " + std::to_string(l.channels_after) +
         "</td><td>" + format("%.2f → ", l.macs_before / 1e6) + format("%.2f", l.macs_after / 1e6) +
         "</td><td>" + format("%.4f → ", l.ms_before) + format("%.4f", l.ms_after) + "</td><td>" +
         escaped(l.precision) + "</td></tr>";
  return t + "</table></div>";
}

std::string card(const std::string& label, const std::string& value, const std::string& detail) {
  return "<div class='card'><small>" + label + "</small><b>" + value + "</b><small>" + detail +
         "</small></div>";
}

}  // namespace

std::string to_html(const FitSummary& s) {
  const Measured &b = s.baseline, &r = s.result;
  std::string h =
      "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
      "content='width=device-width,initial-scale=1'><title>Espalier fit: " +
      escaped(s.model) + "</title><style>" + kStyle + "</style></head><body><h1>" +
      escaped(s.model) + "</h1><p class='soft'>fitted to " + escaped(s.data) + " · budget <code>" +
      escaped(to_string(s.budget)) + "</code> <b class='" +
      (s.met ? "met'>met" : "missed'>not met") + "</b> · returned: " + escaped(s.chosen) +
      "</p><div class='cards'>";
  h += card("latency", format("%.2fx faster", s.speedup),
            format("%.4f → ", b.latency_ms) + format("%.4f ms", r.latency_ms));
  h += card("weights", format("%.2fx smaller", b.weight_bytes / std::max(1.0, r.weight_bytes)),
            bytes(b.weight_bytes) + " → " + bytes(r.weight_bytes));
  h += card("test accuracy", format("%.2f %%", r.accuracy), format("before %.2f %%", b.accuracy));
  h += card("MACs", format("%.1f %%", 100 * r.macs / std::max(1.0, b.macs)),
            format("%.2f M → ", b.macs / 1e6) + format("%.2f M", r.macs / 1e6));
  h += "</div><h2>Accuracy against latency</h2>" + pareto_plot(s) + "<h2>Candidates</h2>" +
       candidate_table(s);
  h += "<h2>What contributed</h2><div class='cards'>" +
       card("cut only, f32", best_of(s, true, false), "speed · validation accuracy") +
       card("precision only", best_of(s, false, true), "speed · validation accuracy") +
       card("both", best_of(s, true, true), "speed · validation accuracy") + "</div>";
  if (const std::string curves = curve_plot(s); !curves.empty()) h += "<h2>Training</h2>" + curves;
  h += layer_table(s);
  if (!s.notes.empty()) {
    h += "<h2>Notes</h2><ul>";
    for (const auto& n : s.notes) h += "<li>" + escaped(n) + "</li>";
    h += "</ul>";
  }
  h += "<h2>How it was measured</h2><p>Every number on this page was measured in this run. "
       "Latency: medians of "
       "alternating rounds at " +
       std::to_string(s.threads) + " thread(s), batch " + std::to_string(s.batch) +
       ". Candidates were chosen on " + std::to_string(s.validation_samples) + " samples of the " +
       escaped(s.validation_split) + " split; the " + escaped(s.test_split) + " split (" +
       std::to_string(s.test_samples) +
       " samples) was used once, for the two accuracies above.</p><p>Machine: " +
       escaped(s.machine) + "<br>Seed: " + std::to_string(s.seed) +
       "<br>Took: " + format("%.0f s", s.seconds) + "<br>Command: <code>" + escaped(s.command) +
       "</code><br>Espalier " + escaped(s.version) + "</p></body></html>\n";
  return h;
}

}  // namespace espalier

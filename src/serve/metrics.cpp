#include "serve/metrics.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "base/error.h"

namespace espalier::serve {
namespace {

std::string number(double value) {
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  if (std::isnan(value)) return "NaN";
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

/// Bounds as people write them: 0.0001, not 1e-04.
std::string bound_text(double bound) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", bound);
  return std::isinf(bound) ? "+Inf" : text;
}

/// `a="b",c="d"`, with what the format wants escaped.
std::string text_of(const Labels& labels) {
  std::string text;
  for (const auto& [name, value] : labels) {
    text += (text.empty() ? "" : ",") + name + "=\"";
    for (const char c : value) {
      if (c == '\\' || c == '"') text += '\\';
      if (c == '\n')
        text += "\\n";
      else
        text += c;
    }
    text += '"';
  }
  return text;
}

std::string line(const std::string& name, const std::string& labels, const std::string& value) {
  return name + (labels.empty() ? "" : "{" + labels + "}") + " " + value + "\n";
}

std::string lines(const std::string& name, const std::string& labels, const Histogram& histogram) {
  const std::vector<uint64_t> counts = histogram.counts();
  const std::string before = labels.empty() ? "" : labels + ",";
  std::string text;
  uint64_t total = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    total += counts[i];
    const double bound = i < histogram.bounds().size() ? histogram.bounds()[i] : INFINITY;
    text +=
        line(name + "_bucket", before + "le=\"" + bound_text(bound) + "\"", std::to_string(total));
  }
  text += line(name + "_sum", labels, number(histogram.sum()));
  text += line(name + "_count", labels, std::to_string(total));
  return text;
}

}  // namespace

Histogram::Histogram(std::vector<double> bounds)
    : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}

void Histogram::observe(double value) {
  const auto at = std::ranges::lower_bound(bounds_, value);
  counts_[size_t(at - bounds_.begin())].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

std::vector<uint64_t> Histogram::counts() const {
  std::vector<uint64_t> counts;
  for (const auto& c : counts_) counts.push_back(c.load(std::memory_order_relaxed));
  return counts;
}

const std::vector<double>& time_bounds() {
  static const std::vector<double> bounds = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
                                             0.01,   0.025,   0.05,   0.1,   0.25,   0.5,
                                             1,      2.5,     5,      10};
  return bounds;
}

Metrics::Family& Metrics::family(const std::string& name, const std::string& help,
                                 const std::string& type) {
  Family& family = families_[name];
  ESP_CHECK(family.type.empty() || family.type == type, "a metric is of one type");
  family.type = type;
  family.help = help;
  return family;
}

Counter& Metrics::counter(const std::string& name, const std::string& help, const Labels& labels) {
  const std::lock_guard lock(mutex_);
  auto& slot = family(name, help, "counter").counters[text_of(labels)];
  if (!slot) slot = std::make_unique<Counter>();
  return *slot;
}

Histogram& Metrics::histogram(const std::string& name, const std::string& help,
                              const std::vector<double>& bounds, const Labels& labels) {
  const std::lock_guard lock(mutex_);
  auto& slot = family(name, help, "histogram").histograms[text_of(labels)];
  if (!slot) slot = std::make_unique<Histogram>(bounds);
  return *slot;
}

void Metrics::gauge(const std::string& name, const std::string& help, std::function<double()> value,
                    const Labels& labels) {
  const std::lock_guard lock(mutex_);
  family(name, help, "gauge").gauges[text_of(labels)] = std::move(value);
}

std::string Metrics::text() const {
  const std::lock_guard lock(mutex_);
  std::string text;
  for (const auto& [name, family] : families_) {
    text += "# HELP " + name + " " + family.help + "\n# TYPE " + name + " " + family.type + "\n";
    for (const auto& [labels, c] : family.counters)
      text += line(name, labels, std::to_string(c->value()));
    for (const auto& [labels, h] : family.histograms) text += lines(name, labels, *h);
    for (const auto& [labels, value] : family.gauges) text += line(name, labels, number(value()));
  }
  return text;
}

}  // namespace espalier::serve

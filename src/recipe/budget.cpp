// The budget's terms: parsing, printing, checking.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>

#include "base/error.h"
#include "recipe/fit_summary.h"
#include "recipe/quantity.h"

namespace espalier {
namespace {

constexpr const char* kHint = "write it like latency=1.5ms,size=200kB,macs=50%,memory=4MB,drop=1.0";

std::string number(double v) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.6g", v);
  return buffer;
}

}  // namespace

Budget parse_budget(const std::string& text) {
  Budget budget;
  std::set<std::string> seen;
  size_t at = 0;
  while (at < text.size()) {
    const size_t comma = std::min(text.find(',', at), text.size());
    const std::string term = text.substr(at, comma - at);
    at = comma + 1;
    const size_t equals = term.find('=');
    const std::string key = term.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : term.substr(equals + 1);
    const std::string where = "budget term '" + term + "'";
    if (!seen.insert(key).second) throw usage_error(where, "gives '" + key + "' a second time");
    if (key == "latency") {
      budget.latency_ms = quantity(where, value, time_units());
    } else if (key == "size") {
      budget.weight_bytes = quantity(where, value, byte_units());
    } else if (key == "memory") {
      budget.memory_bytes = quantity(where, value, byte_units());
    } else if (key == "macs") {
      budget.macs_fraction = quantity(where, value, {{"%", 0.01}});
      if (*budget.macs_fraction > 1) throw usage_error(where, "is above 100%");
    } else if (key == "drop") {
      char* end = nullptr;
      const double drop = std::strtod(value.c_str(), &end);
      if (value.empty() || *end || !std::isfinite(drop) || drop < 0)
        throw usage_error(where, "needs points of accuracy, 0 or more", kHint);
      budget.drop = drop;
    } else if (key == "energy") {
      throw unsupported("budget term 'energy'", "this machine's energy cannot be measured",
                        "use latency, which it mostly follows");
    } else {
      throw usage_error(where, "is not known",
                        "known: latency, size, macs, memory, drop; " + std::string(kHint));
    }
  }
  return budget;
}

std::string to_string(const Budget& b) {
  std::string s;
  const auto add = [&](const std::string& term) { s += (s.empty() ? "" : ",") + term; };
  if (b.latency_ms) add("latency=" + number(*b.latency_ms) + "ms");
  if (b.weight_bytes) add("size=" + number(*b.weight_bytes) + "B");
  if (b.macs_fraction) add("macs=" + number(*b.macs_fraction * 100) + "%");
  if (b.memory_bytes) add("memory=" + number(*b.memory_bytes) + "B");
  if (b.drop) add("drop=" + number(*b.drop));
  return s;
}

std::optional<BudgetMiss> missed(const Budget& b, const Measured& m, double memory_bytes,
                                 double input_macs, double baseline_accuracy) {
  std::optional<BudgetMiss> miss;
  // A hair of rounding in a relative limit is no miss.
  constexpr double kSlack = 1 + 1e-9;
  const auto check = [&](const char* term, double have, const std::optional<double>& limit,
                         const char* unit) {
    if (!limit || have <= *limit * kSlack) return;
    if (!miss)
      miss = {std::string(term) + " " + number(have) + unit + " > " + number(*limit) + unit, 0};
    miss->excess = std::max(miss->excess, *limit > 0 ? have / *limit - 1 : have);
  };
  std::optional<double> share;
  if (b.macs_fraction) share = 100 * *b.macs_fraction;
  check("drop", baseline_accuracy - m.accuracy, b.drop, "");
  check("latency", m.latency_ms, b.latency_ms, "ms");
  check("size", m.weight_bytes, b.weight_bytes, "B");
  check("macs", 100 * m.macs / input_macs, share, "%");
  check("memory", memory_bytes, b.memory_bytes, "B");
  return miss;
}

}  // namespace espalier

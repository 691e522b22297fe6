#include "recipe/quantity.h"

#include <cmath>
#include <cstdlib>

#include "base/error.h"

namespace espalier {

const Units& time_units() {
  static const Units units = {{"us", 1e-3}, {"ms", 1}, {"s", 1e3}};
  return units;
}

const Units& byte_units() {
  static const Units units = {{"B", 1},      {"kB", 1e3},      {"MB", 1e6},          {"GB", 1e9},
                              {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824.0}};
  return units;
}

double quantity(const std::string& where, const std::string& text, const Units& units,
                const std::string& hint) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  const auto unit = units.find(end);
  if (end == text.c_str() || unit == units.end() || !(value > 0) || !std::isfinite(value)) {
    std::string known;
    for (const auto& [name, factor] : units)
      if (!name.empty()) known += (known.empty() ? "" : ", ") + name;
    throw usage_error(where, "'" + text + "' is no positive amount",
                      known.empty() ? hint : "units: " + known);
  }
  return value * unit->second;
}

}  // namespace espalier

// Lists of learning rates in recipes, of which the best is chosen.
#pragma once

#include <cmath>
#include <vector>

#include "recipe/yaml.h"

namespace espalier {

/// Positive, rising, one at least. UserError with the line.
inline std::vector<double> read_rates(const Yaml& list) {
  std::vector<double> rates;
  for (const Yaml& r : list.items()) {
    rates.push_back(r.number());
    if (!(rates.back() > 0) || !std::isfinite(rates.back())) r.fail("a rate must be positive");
    if (rates.size() > 1 && rates.back() <= rates[rates.size() - 2]) r.fail("rates must rise");
  }
  if (rates.empty()) list.fail("a rate is needed");
  return rates;
}

}  // namespace espalier

// Reproductions: a recipe states what a paper claims, the baseline and the bar, and names the
// measurement that shows on this machine whether it holds.
//
//   espalier: 1
//   reproduces: {id: 170, system: neural-circuit-diagrams, paper: …, claim: …, baseline: …, bar: …}
//   measure: diagrams        # one line of reproductions.inc; further keys are its own
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "recipe/yaml.h"

namespace espalier {

/// What a measurement found, as flat objects: a key of both says the same of either.
struct Findings {
  nlohmann::ordered_json baseline, measured;
  bool holds = false;  ///< the bar is met
};

struct Reproduction {
  std::string id, system, paper, claim, baseline, bar;  ///< as the recipe states them
  Findings found;
  double seconds = 0;
};

/// What measurements are given besides their recipe's keys.
struct MeasureOptions {
  std::filesystem::path recipe;
  uint64_t seed = 0;
};

/// UserError with file:line for a recipe that is none.
Reproduction reproduce(const Yaml& recipe, const MeasureOptions& options);

#define ESP_REPRODUCTION(name) \
  Findings measure_##name(Fields& recipe, const MeasureOptions& options);
#include "reproduce/reproductions.inc"
#undef ESP_REPRODUCTION

}  // namespace espalier

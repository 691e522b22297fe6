// The two halves of the reproduction of TempNet (Qiu et al. 2024): a temperature network behind a
// language model, and temperatures of contrastive learning.
#pragma once

#include "reproduce/reproduce.h"

namespace espalier {

/// Key `language`: a character GPT that is trained and frozen, TempNet behind it by the robust
/// loss, beside the fixed temperature of the least validation loss, and beside what else tells
/// where a difference comes from.
class LanguageTemperatures {
 public:
  LanguageTemperatures(const Yaml& part, int64_t seeds, uint64_t first_seed);
  ~LanguageTemperatures();
  /// Adds its figures; whether its part of the bar is met.
  bool measure(Findings& into) const;

 private:
  struct Setup;
  std::unique_ptr<Setup> setup_;
};

/// Key `contrastive`: embeddings learned from two views with fixed, learned and predicted
/// temperatures.
class ContrastiveTemperatures {
 public:
  ContrastiveTemperatures(const Yaml& part, int64_t seeds, uint64_t first_seed);
  ~ContrastiveTemperatures();
  bool measure(Findings& into) const;

 private:
  struct Setup;
  std::unique_ptr<Setup> setup_;
};

/// A list of numbers above 0, rising. UserError at its line.
std::vector<double> read_rising(const Yaml& list);
/// Whether `chosen` is the first or last of several.
bool at_edge(const std::vector<double>& list, double chosen);

}  // namespace espalier

// The search for update rules: regularised evolution (Real et al. 2019, "Regularized evolution for
// image classifier architecture search") of short programs, with a cache by what programs do, as
// Chen et al. 2023 (arXiv:2302.06675) found Lion.
#pragma once

#include <functional>
#include <vector>

#include "base/rng.h"
#include "train/update_program.h"

namespace espalier {

struct ProgramSearch {
  int64_t population = 20;
  int64_t tournament = 5;
  int64_t candidates = 200;  ///< programs whose loss is computed, the first one's among them
  int64_t longest = 8;       ///< instructions
  int64_t finalists = 4;
  uint64_t seed = 0;
};

struct FoundPrograms {
  struct Entry {
    UpdateProgram program;  ///< simplified
    double loss = 0;
  };
  /// The best that do different things, best first; at most `finalists`.
  std::vector<Entry> best;
  int64_t evaluated = 0;  ///< programs whose loss was computed
  int64_t known = 0;      ///< that do what another did, whose loss was taken
  int64_t broken = 0;     ///< whose numbers were not finite, or that never change a weight
};

/// Evolves programs from `first`. `loss` is asked once for each behaviour; infinite where training
/// diverges. The same search always looks at the same programs.
FoundPrograms search_programs(const UpdateProgram& first, const ProgramSearch& search,
                              const std::function<double(const UpdateProgram&)>& loss);

/// A copy with one thing changed: an instruction more or less, an operand, a number, the rate.
/// Draws at `draw` and behind, within a thousand.
UpdateProgram mutated(const UpdateProgram& program, int64_t longest, const Rng& rng, uint64_t draw);

}  // namespace espalier

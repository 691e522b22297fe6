// Learning rates as functions of the step: no state, so a resumed run continues exactly.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace espalier {

struct Schedule {
  enum class Kind : uint8_t {
    kConstant,
    kCosine,    ///< half a cosine from `peak` down to `floor * peak` (Loshchilov & Hutter 2017)
    kStep,      ///< times `factor` at each milestone
    kOneCycle,  ///< cosine up from peak / 25 during the warm-up, cosine down to peak / 10,000
                ///< (Smith & Topin 2018)
  };
  Kind kind = Kind::kCosine;
  double peak = 0.1;
  double floor = 0;  ///< of kCosine: the last rate, as a part of the peak
  /// Epochs of linear warm-up from peak / steps to peak; of kOneCycle, the rising part.
  double warmup = 0;
  std::vector<double> milestones;  ///< of kStep: epochs, rising
  double factor = 0.1;             ///< of kStep

  /// UserError (bad input) for values that make no schedule; `where` names it.
  void check(const std::string& where) const;
};

/// The rate of step `step` in [0, epochs * steps_per_epoch).
double learning_rate(const Schedule& schedule, int64_t step, int64_t steps_per_epoch,
                     int64_t epochs);

}  // namespace espalier

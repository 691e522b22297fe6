// What UnifiedNormalization and its gradient share: attributes, and where their statistics stand.
#pragma once

#include "ops/common.h"

namespace espalier::ops {

struct UnifiedNormalization {
  float epsilon = 1e-5f;
  float momentum = 0.9f;  ///< of the running mean square, and of the gradients' statistics
  int64_t window = 4;     ///< steps whose statistics are averaged
  int64_t warmup = 100;   ///< steps that use their own statistics alone
  bool filter = true;     ///< steps of extraordinary statistics use their own alone
  bool training_mode = false;

  /// The first steps, in which the window fills as well.
  int64_t own_steps() const { return std::max(warmup, window); }
};

/// Rows of the statistics [window + 4, C] that a step leaves behind.
enum UnifiedRow : int64_t {
  kUsedSquare,  ///< the mean square that it normalised by
  kRatio,       ///< of that deviation to the running one
  kSteps,       ///< taken so far, alike in all channels
  kSkips,       ///< of these, those that were filtered
  kWindow,      ///< from here on mean squares of the last steps, newest first
};
/// Rows of the gradients' statistics [window + 1, C]: the moving mean, then those of the last
/// steps.
enum UnifiedGradientRow : int64_t { kMovingMean, kGradientWindow };

/// Rows [from, to) of a matrix.
ValueId rows_of(Builder& b, ValueId matrix, int64_t from, int64_t to);
/// `newest` [1, C] before all rows but the last.
ValueId pushed(Builder& b, ValueId newest, ValueId window, int64_t size);
/// All axes of v but the last.
std::vector<int64_t> axes_but_last(Builder& b, ValueId v);
/// Whether a step uses its own statistics: it is one of the first, or was filtered. bool [1, C] of
/// the rows kSteps after it and of the filtered ones, f32 0 or 1.
ValueId uses_own(const UnifiedNormalization& a, Builder& b, ValueId steps, ValueId skipped);

}  // namespace espalier::ops

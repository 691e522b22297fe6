// Which groups to cut for a budget of multiply-accumulates.
#pragma once

#include <optional>

#include "base/error.h"
#include "compress/saliency.h"

namespace espalier {

struct CutBudget {
  /// Multiply-accumulates to reach, as a share of the uncut network's, in (0, 1].
  double macs = 0.5;
  /// Elements of parameters to reach, likewise; 1 asks for nothing.
  double params = 1;
  /// At least this share of every class stays (and at least one group).
  double least_share = 0.125;
  /// Kept widths are multiples of this many positions along the class's widest constant axis, where
  /// the class is wide enough for two of them: what the device's kernels like.
  int64_t width_multiple = 1;
};

/// What a cut leaves, as shares of the uncut network's.
struct CutShares {
  double macs = 1, params = 1;
};

/// Cuts the groups of least saliency per cost saved, `width_multiple` at a time, until the budget
/// holds; the cost is what is furthest over its limit. Groups that `start` already drops stay
/// dropped. Nothing where even the smallest network the constraints allow is over budget;
/// `smallest` then receives its shares.
std::optional<Keep> choose_cut(const AxisClasses& classes, const Saliency& saliency,
                               const CutBudget& budget, const Keep& start,
                               CutShares* smallest = nullptr);

/// The error for a budget that cannot be met; its hint names a class that stays whole, and why.
UserError infeasible_cut(const AxisClasses& classes, const CutBudget& budget,
                         const CutShares& smallest);

/// One-shot pruning by magnitude: the baseline every method is compared with. Throws
/// UserError(infeasible) where the budget cannot be met.
Keep magnitude_cut(const AxisClasses& classes, const CutBudget& budget);

/// Every class that zeros can silence keeps this share of its groups, those of largest magnitude;
/// widths are rounded up as in CutBudget.
Keep uniform_cut(const AxisClasses& classes, double share, int64_t width_multiple = 1);

/// "layer1.conv1.weight[0]: 9 of 16" for each class that loses groups.
std::vector<std::string> describe_cut(const AxisClasses& classes, const Keep& keep);

}  // namespace espalier

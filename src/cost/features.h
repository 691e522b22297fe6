// Regions as rows of numbers.
#pragma once

#include <string>
#include <vector>

#include "cost/tables.h"

namespace espalier {

inline constexpr size_t kWorkFeatures = 19;

/// The numbers every region has: the first kWorkFeatures say how much there is to do, the rest
/// which shapes it has.
std::vector<double> numeric_features(const RegionFacts& facts, const MachinePeaks& peaks,
                                     int threads);
/// Names for what a region is made of: its kind, its types, each of its operators.
std::vector<std::string> words_of(const RegionFacts& facts);

}  // namespace espalier

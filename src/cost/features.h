// Regions as rows of numbers; private to cost/.
#pragma once

#include <string>
#include <vector>

#include "cost/tables.h"

namespace espalier {

/// The numbers every region has.
std::vector<double> numeric_features(const RegionFacts& facts, const MachinePeaks& peaks,
                                     int threads);
/// Names for what a region is made of: its kind, its types, each of its operators.
std::vector<std::string> words_of(const RegionFacts& facts);

}  // namespace espalier

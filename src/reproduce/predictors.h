// Predictors of performance side by side: each learns from some configurations and predicts others.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "reproduce/grouped_table.h"
#include "reproduce/performance_net.h"

namespace espalier {

/// Row numbers of each fold: whole configurations, one a fold up to twelve of them, else five folds
/// drawn by seed.
std::vector<std::vector<size_t>> configuration_folds(const GroupedTable& table, uint64_t seed);

/// Mean relative error of the scores predicted for configurations that were held out, by predictor:
///   linear, tree (one, grown deep), boosted_trees, perceptron, ncpp, and, of the same item on the
///   configurations learned from, mean and nearest (by all characteristics).
/// UserError when there are fewer than three configurations.
std::map<std::string, double> compare_predictors(const GroupedTable& table,
                                                 const PerformanceTraining& training);

}  // namespace espalier

// Networks that predict the performance of machines, defined and trained by the engine itself:
// NCPP's attention within and across groups of characteristics (Liu et al., "Towards CPU
// performance prediction", 2024), and a plain perceptron to compare it with.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ir/graph.h"
#include "reproduce/grouped_table.h"

namespace espalier {

enum class PerformanceNet : uint8_t {
  /// Every characteristic a token; self-attention among the tokens of a group, their mean for the
  /// group; self-attention among groups; a perceptron on what comes out.
  kGroupAttention,
  kPerceptron,  ///< three layers
};

/// x [batch, columns of the table] to y [batch, 1], with first values that depend on the seed.
Graph performance_network(PerformanceNet kind, const std::vector<ColumnGroup>& groups,
                          int64_t batch, uint64_t seed);

struct PerformanceTraining {
  int64_t steps = 1500;
  int64_t batch = 128;
  double rate = 3e-3;  ///< the learning rate at first; falls to 0 as a half cosine
  uint64_t seed = 0;
};

/// Trains on some rows and predicts others' targets.
std::vector<double> train_and_predict(PerformanceNet kind, const GroupedTable& table,
                                      std::span<const size_t> training,
                                      std::span<const size_t> wanted,
                                      const PerformanceTraining& options = {});

}  // namespace espalier

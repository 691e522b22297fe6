// A batch as its samples: where no result of a network mixes what the rows of its inputs hold, the
// network of one row computes the same, row by row.
#pragma once

#include <optional>

#include "ir/graph.h"

namespace espalier {

/// A network of a batch, and that of one of its samples.
struct Samples {
  int64_t count = 0;
  Graph one;  ///< the same inputs and outputs, their first extent 1
};

/// The extent that all inputs and outputs begin with; 0 where there is none, or the network keeps a
/// state.
int64_t batch_of(const Graph& graph);

/// Nothing where it cannot be shown that samples are independent: all inputs and outputs must begin
/// with the same fixed extent of two or more, and every node on the way must say (by its `axes`)
/// that it keeps the batch as an axis of its own, samples apart, draws nothing at random, and works
/// alike on a batch of one.
std::optional<Samples> as_samples(const Graph& graph);

}  // namespace espalier

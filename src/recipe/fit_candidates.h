// The networks a fit chooses among: each cut at each precision, its accuracy and its cost.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "ir/graph.h"
#include "recipe/fit_summary.h"
#include "runtime/timing.h"

namespace espalier {

/// A network as it would be handed over.
struct FitNetwork {
  std::string name;
  bool cut = false;
  std::string precision;
  Graph graph;                     ///< batch norms folded; QDQ for int8, casts for bf16
  std::vector<std::string> notes;  ///< layers left in float, and why
};

/// MACs of one sample, parameters, weight bytes, and planned peak bytes of activations for an input
/// of this shape at that many threads.
struct NetworkCost {
  double macs = 0, params = 0, weight_bytes = 0, memory_bytes = 0;
};
NetworkCost network_cost(const Graph& graph, const Shape& input, int threads);

struct Int8Options {
  std::string method = "minmax";  ///< or percentile
  int64_t calibration_samples = 512;
  /// Layers are moved back to float, worst first, until `accuracy` of the quantised network is at
  /// least this, or half of them are.
  double least_accuracy = 0;
};

/// `float_graph` folded and lowered to `precision` (f32, bf16).
Graph lowered(const Graph& float_graph, const std::string& precision);
/// `float_graph` as 8-bit integers, calibrated on `calibration`. `accuracy` judges a network.
FitNetwork quantised(const Graph& float_graph, const Dataset& calibration,
                     const Int8Options& options,
                     const std::function<double(const Graph&)>& accuracy);

/// Times all networks on inputs of this shape at `threads`, alternating.
std::vector<Timing> time_networks(const std::vector<const Graph*>& graphs, const Shape& input,
                                  int threads, int rounds);

/// What happened to each contraction between two networks that name their layers alike, with the
/// time each takes.
std::vector<FitLayer> compare_layers(const Graph& before, const Graph& after, const Shape& input,
                                     int threads);

}  // namespace espalier

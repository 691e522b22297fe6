// Which arithmetic a network should run in on this machine: f32, bf16 or int8 for each layer, by
// measured time, as long as its results stay within an error of the float network's.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "compress/calibrate.h"
#include "ir/graph.h"
#include "runtime/timing.h"

namespace espalier {

struct PrecisionOptions {
  double max_error = 0.05;  ///< |y - y_f32| / |y_f32|, Euclidean over all outputs and samples
  int threads = 1;
  int rounds = 9;  ///< alternating rounds of timing
  RangeMethod method = RangeMethod::kMinMax;
  bool bf16 = true;  ///< false where what comes of it cannot be written down in bf16
};

struct PrecisionCandidate {
  std::string name;  ///< f32, bf16, int8 or mixed
  Graph graph;
  double relative_error = 0;
  Timing timing;
  bool fits = true;  ///< its error is allowed
};

struct LayerPrecision {
  std::string layer;  ///< its first result's name
  std::string op;
  std::string precision;             ///< as chosen
  std::map<std::string, double> ms;  ///< by precision, as measured in the networks of one precision
};

struct PrecisionChoice {
  std::vector<PrecisionCandidate> candidates;  ///< f32 first
  size_t chosen = 0;
  std::vector<LayerPrecision> layers;  ///< contractions with weights, in order
  int64_t batches = 0;                 ///< on which errors were measured
  std::vector<std::string> notes;      ///< what was left out, and why

  const PrecisionCandidate& best() const { return candidates[chosen]; }
};

/// Tries the precisions on a float network, timed with inputs of these shapes, in the graph's
/// order. `data` holds batches of inputs: half of them calibrate int8, errors are measured on the
/// other half. Without data int8 is left out and bf16 is judged on random numbers. Never chooses
/// what is slower than f32 or over the error. UserError (unsupported) for a network on integers
/// already.
PrecisionChoice choose_precision(const Graph& graph, std::span<const Shape> shapes,
                                 std::span<const std::vector<Tensor>> data,
                                 const PrecisionOptions& options);

}  // namespace espalier

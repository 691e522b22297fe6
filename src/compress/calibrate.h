// What a network's values look like on data: the ranges from which scales of integers follow.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace espalier {

class Dataset;
struct NamedTensor;

enum class RangeMethod : uint8_t {
  kMinMax,      ///< everything seen is representable
  kPercentile,  ///< the given share of magnitudes is; the rest saturates
};

/// "minmax" or "percentile"; UserError(usage) otherwise.
RangeMethod range_method(const std::string& name);

/// One value's range over all data seen.
struct ValueRange {
  double least = 0;      ///< smallest element
  double magnitude = 0;  ///< the largest |element| to represent; infinite where a mask is
  bool non_negative() const { return least >= 0; }
};
using Ranges = std::map<std::string, ValueRange>;

/// Runs a float network on data and keeps the range of each float value that is computed or given.
class Calibrator {
 public:
  /// `percentile` in (0, 100], used by kPercentile.
  Calibrator(const Graph& graph, RangeMethod method, double percentile = 99.99);
  ~Calibrator();
  Calibrator(Calibrator&&) noexcept;

  /// One batch, in the order of the graph's inputs. UserError naming the value that is NaN.
  void observe(std::span<const Tensor> inputs);
  int64_t batches() const;
  /// By value name. UserError when nothing was observed.
  Ranges ranges() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// `samples` samples, drawn evenly and always the same, as inputs of a network with one input, in
/// batches of its own first extent; where that is open, of 32 or as many as make 256 MB of values
/// together. UserError when they do not fit it.
std::vector<std::vector<Tensor>> calibration_batches(const Graph& graph, const Dataset& data,
                                                     int64_t samples);

/// The same for a network with several inputs, from arrays named after them whose first axis
/// counts samples. UserError naming the input whose array is missing or does not fit.
std::vector<std::vector<Tensor>> calibration_batches(const Graph& graph,
                                                     std::span<const NamedTensor> arrays,
                                                     int64_t samples, const std::string& where);

}  // namespace espalier

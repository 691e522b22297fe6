// How far the results of a network in other arithmetic are from those of the float network.
#pragma once

#include <span>
#include <vector>

#include "ir/graph.h"

namespace espalier {

/// What a network answers to some batches of inputs, and how far others are from that.
class OutputError {
 public:
  OutputError(const Graph& reference, std::span<const std::vector<Tensor>> batches);

  /// |y - y_reference| / |y_reference|, Euclidean, over all outputs and samples; infinite where an
  /// answer is not finite that was, or other than it was. Of a reference that answers zeros: |y|.
  double of(const Graph& graph) const;
  std::span<const std::vector<Tensor>> batches() const { return batches_; }

 private:
  std::vector<std::vector<Tensor>> batches_, wanted_;
  double energy_ = 0;
};

}  // namespace espalier

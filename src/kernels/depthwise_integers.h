// Depthwise convolution of 8-bit integers, each channel with its own window, on any vector
// instructions: rows of x are kept as f32, in which products of 8-bit integers and their sums are
// exact, and what a row of y needs of them, for 16 channels, stays in the first cache.
#pragma once

#include <cstddef>
#include <memory>

#include "kernels/convolution.h"

namespace espalier::kernels {

/// Why this kernel does not serve the convolution, whose x must be u8 or i8 and whose weight i8;
/// null if it does.
const char* depthwise_integers_refusal(const ConvSpec& spec);

/// Prepared weights; immutable, any thread may run it. The bits of the result do not depend on the
/// number of threads.
class DepthwiseIntegers {
 public:
  /// What was not refused, for the threads there are.
  explicit DepthwiseIntegers(const ConvSpec& spec);
  ~DepthwiseIntegers();
  size_t scratch_bytes() const;
  size_t packed_bytes() const;
  void run(const void* x, void* y, void* scratch) const;

  struct Plan;

 private:
  std::unique_ptr<const Plan> plan_;
};

}  // namespace espalier::kernels

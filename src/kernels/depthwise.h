// Depthwise convolution of planes in f32 and bf16, each channel with its own window, channels-last.
// A vector holds neighbouring channels; the inner loop computes several pixels of a row, loading
// each tap and each column that their windows share once.
#pragma once

#include <memory>
#include <string>

#include "kernels/convolution.h"

namespace espalier::kernels {

/// Why this kernel does not serve the convolution; empty if it does: a window 3, 5 or 7 wide for
/// each of sixteen channels or more, a column apart, and after it bounds at most. `weight` is
/// C, 1, KH, KW.
std::string no_depthwise(const ConvSpec& spec);

/// A prepared convolution; immutable, any thread may run it. The bits of its result do not depend
/// on the number of threads.
class DepthwiseConv {
 public:
  /// Of what `no_depthwise` has no objection to.
  explicit DepthwiseConv(const ConvSpec& spec);
  ~DepthwiseConv();
  /// Operands as the specification numbers them.
  void run(const void* const* operands, void* y, void* scratch) const;
  size_t scratch_bytes() const;  ///< for weights that come at run time
  size_t packed_bytes() const;

  struct Plan;

 private:
  std::unique_ptr<const Plan> plan_;
};

}  // namespace espalier::kernels

// The gradient of a convolution with respect to its windows by generated code: for each tap the
// product of dy, transposed, and of x as that tap sees it, summed over all positions of all images.
//
//   dw[o, i, tap] = sum over p of dy[p, o] x[p + tap, i]
//
// In bf16 a multiplication takes two positions (vdpbf16ps); sums are f32. What is summed without a
// stop, and so the result's bits, does not depend on the number of threads.
#pragma once

#include <memory>
#include <string>

#include "kernels/convolution.h"

namespace espalier::kernels {

/// Why generated code does not serve it here; empty if it does: two spatial axes, one group, eight
/// channels or more; f32, or bf16 where the processor multiplies pairs of it.
std::string no_generated_grad_weight(const ConvGradSpec& spec);

/// Whether it multiplies enough for what it copies first to be faster than a library's kernels.
bool generated_grad_weight_pays(const ConvGradSpec& spec);

/// Prepared for the threads there are; immutable, any thread may run it.
class GeneratedGradWeight {
 public:
  virtual ~GeneratedGradWeight() = default;
  /// dw, in rows and of the weight's type, from operands x (0) and dy (1), channels-last.
  virtual void run(const void* const* operands, void* dw, void* scratch) const = 0;
  virtual size_t scratch_bytes() const = 0;
  /// "8x32": the tile that registers hold.
  virtual std::string text() const = 0;
};

/// Generates what `no_generated_grad_weight` has no objection to.
std::shared_ptr<const GeneratedGradWeight> generate_grad_weight(const ConvGradSpec& spec);

}  // namespace espalier::kernels

// Contractions of 8-bit integers by generated code, for machines that have no instruction for them:
// operands are widened to 16 bits, so that sums are exact (kernels/jit/micro_kernel.h), and what
// follows is applied while they are in registers.
//
// A convolution is the product of its windows and the weight. Windows are read from a widened and
// padded copy of the rows of x that a block of rows of y needs (kernels/jit/integer_image.h), kept
// in the second cache; where columns are not dilated, a row of a window is one run of it. The
// result's bits do not depend on the number of threads.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "kernels/jit/integer_contraction.h"

namespace espalier::kernels {

/// A contraction prepared for the threads there are; immutable, any thread may run it.
class GeneratedIntegers {
 public:
  virtual ~GeneratedIntegers() = default;
  /// Operands as the specification numbers them; y may lie where a residual does.
  virtual void run(const void* const* operands, void* y, void* scratch) const = 0;
  virtual size_t scratch_bytes() const = 0;
  virtual size_t packed_bytes() const = 0;
  /// "6x16": rows and columns of the result in registers.
  virtual std::string text() const = 0;
};

/// Generates what `integer_contraction` gave; code must be possible (`no_generated_kernels`).
std::shared_ptr<const GeneratedIntegers> generate_integers(const IntegerContraction& contraction);

}  // namespace espalier::kernels
